"""Rules of the house: what holds for the repository as a whole, whoever changes it."""

import ast
import csv
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from prefect import Flow

from tasks.notifications import events
from tasks.settings import CHECKOUT, Settings
from tasks.store.store import Store

MODULES = sorted([*CHECKOUT.glob("flows/**/*.py"), *CHECKOUT.glob("tasks/**/*.py")])
SHARED = sorted([*CHECKOUT.glob("tasks/*.py"), *CHECKOUT.glob("tasks/sql/**/*.*")])
TOP_LEVEL = {
    "pyproject.toml",
    "flows",
    "tasks",
    "tests",
    "data",
    "prefect.yaml",
    "README.md",
    "constraints.txt",
}
LINES = 300
VENDORS = re.compile(r"(?<![a-z])(mimecast|entra|intune)(?![a-z])", re.IGNORECASE)
# A path of somebody's machine, or the address of an index that packages come from.
ELSEWHERE = re.compile(
    r"(?<![\w.{}])/(?:root|home|Users|tmp|opt|work)/\w|\b[A-Z]:\\|pypi\.|pythonhosted|--(?:extra-)?index-url|--find-links"
)
NETWORK = {"httpx", "http", "client", "_client", "get_client"}


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def tracked() -> list[Path]:
    """Files that are in the repository, or would be with the next commit."""
    asked = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(asked, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    found = [CHECKOUT / name for name in answer.stdout.decode().split("\0") if name]
    return [path for path in found if path.is_file()]


def declared() -> list[Requirement]:
    """Every dependency, those of the test extra included."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]]


def test_only_what_is_fixed_stands_at_the_top() -> None:
    tops = {path.relative_to(CHECKOUT).parts[0] for path in tracked()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("path", SHARED, ids=name_of)
def test_no_vendor_in_what_all_connectors_share(path: Path) -> None:
    assert VENDORS.findall(path.read_text(encoding="utf-8")) == []


def test_imports_run_down() -> None:
    """The contracts are in pyproject.toml; what breaks one is in the output."""
    call = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    found = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_every_room_has_its_layer() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {room.strip() for layer in layers for room in re.split("[:|]", layer)}
    rooms = {
        f"{top}.{each.stem}"
        for top in ("flows", "tasks")
        for each in (CHECKOUT / top).iterdir()
        if not each.name.startswith("__") and (each.suffix == ".py" or (each / "__init__.py").exists())
    }
    assert rooms == placed


def imports(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_one_module_imports_duckdb() -> None:
    doors = [name_of(path) for path in MODULES if any(name.split(".")[0] == "duckdb" for name in imports(path))]
    assert all(door.startswith("tasks/store/") for door in doors)


def test_no_frame_has_the_name_of_a_relation(tmp_path: Path) -> None:
    """DuckDB would read the relation: it looks for a frame only where it knows no table of that name."""
    store = Store(Settings(home=tmp_path))
    store.publish()
    with store.reader() as reader:
        relations = {
            row[0]
            for row in reader.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'")
        }
    texts = [path.read_text() for path in [*MODULES, *CHECKOUT.glob("tasks/**/*.sql")]]
    relations |= {name for text in texts for name in re.findall(r"TEMP (?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)", text)}
    assert {"alerts", "became"} <= relations
    frames = {
        argument.arg
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"run", "rows", "frame", "script"}
        for argument in node.keywords
    }
    assert {"batch", "touched"} <= frames
    assert not frames & relations


def names_in(folder: str) -> set[str]:
    """Modules and folders directly in a folder of the checkout."""
    found = {path.relative_to(CHECKOUT / folder).parts[0] for path in CHECKOUT.glob(f"{folder}/**/*.py")}
    return {name.removesuffix(".py") for name in found} - {"__init__", "__main__"}


def test_no_module_hides_an_installed_package() -> None:
    """Prefect puts the folder of a flow first on a run's path: `import NAME` finds flows/NAME before any package.

    The folder tasks is never on the path, so that a name of the standard library, such as tasks/http, hides nothing.
    """
    installed = set(packages_distributions()) - {"flows", "tasks"}
    hiding = [f"flows/{name}" for name in names_in("flows") & (installed | sys.stdlib_module_names)]
    hiding += [f"tasks/{name}" for name in names_in("tasks") & installed]
    assert sorted(hiding) == []


def words_of(function: ast.AST) -> set[str]:
    """Every name and attribute a function mentions, its parameters included."""
    found = set()
    for node in ast.walk(function):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word):
                found.add(word)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_asks_the_network_and_writes_the_database(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            words = words_of(node)
            assert not (words & NETWORK and "transaction" in words), node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_manners(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            kinds = {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)}
            assert not kinds & {"Exception", "BaseException"}, f"broad except in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print in line {node.lineno}"


def text_of(path: Path) -> str:
    """The file's text; none where it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_nothing_of_one_machine_is_in_the_files() -> None:
    others = [path for path in tracked() if path != Path(__file__)]
    found = {name_of(path): hits for path in others if (hits := ELSEWHERE.findall(text_of(path)))}
    assert found == {}


DEPLOYMENTS = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_deployments_load(deployment: dict[str, Any]) -> None:
    file, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    assert deployment["description"]
    assert set(deployment.get("parameters", {})) <= set(flow.parameters.properties)
    for schedule in deployment.get("schedules", []):
        assert "active" not in schedule, "the switch belongs to the UI; a deploy would override it"


def test_every_flow_is_deployed() -> None:
    flows = {
        f"{name_of(path)}:{node.name}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and any(map(is_flow, node.decorator_list))
    }
    assert flows == {each["entrypoint"] for each in DEPLOYMENTS}


def is_flow(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "flow"


def test_triggers_wait_for_events_that_are_sent() -> None:
    notify = next(each for each in DEPLOYMENTS if each["name"] == "notify")
    triggers = {each["name"].removeprefix("attachment-alerts, "): set(each["expect"]) for each in notify["triggers"]}
    sent = {kind: events.PREFIX + name for kind, name in events.NAMES.items() if kind != "gap_found"}
    of_connectors = {name for kind, name in sent.items() if kind in events.OF_CONNECTORS}
    assert triggers["groups"] == {*sent.values(), f"{events.PREFIX}digest"} - of_connectors
    assert triggers["connectors"] == of_connectors


def test_no_secret_is_resolved_into_a_deployment() -> None:
    assert "prefect.blocks" not in (CHECKOUT / "prefect.yaml").read_text(encoding="utf-8")


def test_every_table_and_column_says_what_it_is(tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path))
    store.publish()
    with store.reader() as reader:
        silent = reader.rows(
            """
            WITH everything AS (
                SELECT table_name AS thing, comment FROM duckdb_tables() WHERE NOT internal
                UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal
                UNION ALL SELECT table_name || '.' || column_name, comment FROM duckdb_columns() WHERE NOT internal
            )
            SELECT thing FROM everything WHERE coalesce(comment, '') = '' ORDER BY thing
            """
        )
        relations = {row[0] for row in reader.rows("SELECT table_name FROM information_schema.tables")}
        columns = set(reader.rows("SELECT table_name, column_name FROM information_schema.columns"))
    assert silent == []
    with (CHECKOUT / "tasks/sql/comments.csv").open(newline="", encoding="utf-8") as file:
        commented = [(row["relation"], row["column"]) for row in csv.DictReader(file)]
    known = {("*", column) for _, column in columns} | columns | {(relation, "") for relation in relations}
    assert [each for each in commented if each not in known] == []


def constraints() -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        pin = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; [^/]+)?", line)
        assert pin, f"not a plain version: {line!r}"
        found.setdefault(pin[1], set()).add(Version(pin[2]))
    return found


def test_constraints_satisfy_every_dependency() -> None:
    pinned = constraints()
    for wanted in declared():
        versions = pinned.get(canonicalize_name(wanted.name), set())
        assert versions, f"{wanted.name} is not pinned"
        assert all(version in wanted.specifier for version in versions), wanted


def test_constraints_leave_nothing_open() -> None:
    pinned = constraints()
    waiting = [(canonicalize_name(wanted.name), frozenset(wanted.extras)) for wanted in declared()]
    seen = set()
    while waiting:
        name, extras = each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        assert name in pinned, f"{name} would be installed in whatever version is newest"
        for wanted in map(Requirement, requires(name) or []):
            if any(wanted.marker is None or wanted.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                waiting.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))


def test_every_dependency_has_its_reason() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.partition("\ndependencies = [\n")[2].partition("\n]")[0].splitlines()
    assert len(block) == len(tomllib.loads(text)["project"]["dependencies"])
    assert [line.strip() for line in block if not re.search(r"\",\s+# \w", line)] == []
