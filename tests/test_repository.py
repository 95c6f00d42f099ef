"""Rules of the house: what holds for the whole repository."""

import ast
import csv
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, TypeGuard

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from prefect.flows import load_flow_from_entrypoint

from flows.deploy.product_flows import FLOWS
from tasks.notifications import events
from tasks.products import PRODUCTS
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store

MODULES = sorted([*CHECKOUT.glob("flows/**/*.py"), *CHECKOUT.glob("tasks/**/*.py")])
# Where a product may be named: its room and its flows, the registries, the exports that directories are read from, the
# comments of columns, and the demo.
OF_PRODUCTS = (
    *(f"{top}/{name}" for top in ("flows", "tasks") for name in PRODUCTS),
    "tasks/products.py",
    "tasks/directory",
    "tasks/sql/comments.csv",
    "flows/deploy/product_flows.py",
    "flows/cli/demo.py",
    "flows/cli/simulate.py",
)
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
VENDORS = re.compile(rf"(?<![a-z])({'|'.join(PRODUCTS)})(?![a-z])", re.IGNORECASE)
# A path of one machine, or the address of a package index.
ELSEWHERE = re.compile(
    r"(?<![\w.{}])/(?:root|home|Users|tmp|opt|work)/\w|\b[A-Z]:\\|pypi\.|pythonhosted|--(?:extra-)?index-url|--find-links"
)
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_value_", "_exit"}  # of named tuples, enums and `os`


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def tracked() -> list[Path]:
    """Files in the repository or its next commit."""
    asked = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(asked, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    found = [CHECKOUT / name for name in answer.stdout.decode().split("\0") if name]
    return [path for path in found if path.is_file()]


def declared() -> list[Requirement]:
    """Every dependency, including the test extra."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]]


def test_top_level_has_only_the_agreed_entries() -> None:
    tops = {path.relative_to(CHECKOUT).parts[0] for path in tracked()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_shared_code_names_no_product() -> None:
    shared = [*MODULES, *CHECKOUT.glob("tasks/sql/**/*.*")]
    found = {name_of(path): hits for path in shared if (hits := VENDORS.findall(path.read_text(encoding="utf-8")))}
    assert [name for name in found if not name.removesuffix(".py").startswith(tuple(map(stem, OF_PRODUCTS)))] == []


def stem(place: str) -> str:
    return place.removesuffix(".py")


def test_imports_run_down() -> None:
    """The contracts are in pyproject.toml; the output names violations."""
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
    """Modules and names that it imports, wherever in the file."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_duckdb_is_imported_by_the_store_only() -> None:
    doors = [name_of(path) for path in MODULES if "duckdb" in imports(path)]
    assert [door for door in doors if not door.startswith("tasks/store/")] == []


def test_no_module_is_imported_by_a_string() -> None:
    """Neither tools nor readers could follow it; a late import is an import in a function."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Call) and called(node) in {"import_module", "__import__", "find_spec"}
    ]
    assert found == []


def called(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


def test_only_runs_import_both_a_vendor_client_and_the_store() -> None:
    clients = {module for product in PRODUCTS for module in client_modules(product)}
    assert {f"tasks.{product}.client" for product in PRODUCTS} < clients
    both = [
        name_of(path)
        for path in MODULES
        if imports(path) & clients and any(name.startswith("tasks.store") for name in imports(path))
    ]
    assert [name for name in both if not name.startswith("flows/runs/")] == []


def client_modules(product: str) -> set[str]:
    """Modules of the product's room that open its client or import one that does."""
    room = {module_of(path): imports(path) for path in MODULES if name_of(path).startswith(f"tasks/{product}/")}
    room.pop(f"tasks.{product}.demo_account", None)  # serves a sample account, and takes paths from the client only
    found: set[str] = set()
    more = {f"tasks.{product}.client"}
    while more - found:
        found |= more
        more = {module for module, imported in room.items() if imported & found}
    return found


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").replace("/", ".")


def test_no_private_name_of_another_package() -> None:
    paths = [*MODULES, *CHECKOUT.glob("tests/**/*.py")]
    found = [(name, name_of(path)) for path in paths for name in (*private_names(path), *private_patches(path))]
    assert found == []


def private_names(path: Path) -> Iterator[str]:
    """Private names that it imports, or uses without defining them itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_self(node.value)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                module = getattr(node, "module", None) or ""
                asked = [*module.split("."), *(part for alias in names for part in alias.name.split("."))]
            case ast.Attribute(attr=name, value=value) if not is_self(value):
                asked = [name]
            case _:
                continue
        yield from (name for name in asked if is_private(name) and name not in own)


def private_patches(path: Path) -> Iterator[str]:
    """Private names that it reads or replaces by a string, such as `monkeypatch.setattr(module, "_name", …)`."""
    for node in nodes(path):
        if isinstance(node, ast.Call) and called(node) in {"setattr", "getattr", "delattr", "object", "patch"}:
            texts = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
            names = (part for text in texts if isinstance(text, str) for part in text.split("."))
            yield from filter(is_private, names)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def test_no_frame_has_the_name_of_a_relation(tmp_path: Path) -> None:
    """DuckDB would read the relation: it looks for a frame only if there is no table of that name."""
    store = open_store(Settings(home=tmp_path))
    store.publish()
    with store.reader() as reader:
        relations = {
            row[0]
            for row in reader.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'")
        }
    texts = [path.read_text() for path in [*MODULES, *CHECKOUT.glob("tasks/**/*.sql")]]
    relations |= {name for text in texts for name in re.findall(r"TEMP (?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)", text)}
    assert {"alerts", "candidates"} <= relations
    frames = {
        argument.arg
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"run", "rows", "frame", "script"}
        for argument in node.keywords
    }
    assert {"batch", "touched"} <= frames
    assert frames & relations == set()


def names_in(folder: str) -> set[str]:
    """Modules and folders directly in a folder of the checkout."""
    found = {path.relative_to(CHECKOUT / folder).parts[0] for path in CHECKOUT.glob(f"{folder}/**/*.py")}
    return {name.removesuffix(".py") for name in found} - {"__init__", "__main__"}


def test_no_module_hides_an_installed_package() -> None:
    """Prefect puts the folder of a flow first on a run's path: `import NAME` finds flows/NAME before any package.

    The folder tasks is never on the path, so that a name of the standard library, such as tasks/http, hides nothing.
    """
    packages = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    names = {place: names_in(place) for place in ("flows", "tasks")}
    hiding = [f"{place}/{name}" for place, found in names.items() for name in found if is_in(name, packages)]
    hiding += [f"flows/{name}" for name in names["flows"] & sys.stdlib_module_names]
    assert hiding == []


def is_in(name: str, folders: list[str]) -> bool:
    return PathFinder.find_spec(name, folders) is not None


def test_no_long_module_broad_except_or_print() -> None:
    """No long module, no bare or broad except, no print."""
    long = [name_of(path) for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > LINES]
    assert long == []
    found = [f"{name_of(path)}:{node.lineno}" for path in MODULES for node in nodes(path) if is_bad_manners(node)]
    assert found == []


def is_bad_manners(node: ast.AST) -> TypeGuard[ast.ExceptHandler | ast.Call]:
    match node:
        case ast.ExceptHandler(type=None):
            return True
        case ast.ExceptHandler(type=ast.expr() as caught):
            kinds = {each.id for each in ast.walk(caught) if isinstance(each, ast.Name)}
            return bool(kinds & {"Exception", "BaseException"})
        case ast.Call(func=ast.Name(id="print")):
            return True
    return False


def text_of(path: Path) -> str:
    """The file's text; empty for a binary file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_names_a_path_of_one_machine_or_a_package_index() -> None:
    others = [path for path in tracked() if path != Path(__file__)]
    found = {name_of(path): hits for path in others if (hits := ELSEWHERE.findall(text_of(path)))}
    assert found == {}


DEPLOYMENTS = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def test_deployments_load() -> None:
    wrong = {deployment["name"]: fault for deployment in DEPLOYMENTS if (fault := fault_of(deployment))}
    assert wrong == {}


def fault_of(deployment: dict[str, Any]) -> str | None:
    flow = load_flow_from_entrypoint(module_entrypoint(deployment["entrypoint"]), use_placeholder_flow=False)
    if not deployment["description"]:
        return "no description"
    if unknown := set(deployment.get("parameters", {})) - set(flow.parameters.properties):
        return f"parameters that the flow does not have: {unknown}"
    if any("active" in schedule for schedule in deployment.get("schedules", [])):
        return "the switch belongs to the UI; a deploy would override it"
    return None


def module_entrypoint(entrypoint: str) -> str:
    """`flows/x.py:f` as `flows.x.f`."""
    return entrypoint.replace(".py:", ".").replace("/", ".")


def test_flows_of_products_are_deployed() -> None:
    assert FLOWS.keys() == PRODUCTS.keys()
    known = {module_entrypoint(each["entrypoint"]) for each in DEPLOYMENTS}
    assert {entrypoint for flows in FLOWS.values() for entrypoint in flows if entrypoint} <= known


def test_every_flow_is_deployed() -> None:
    flows = {
        f"{name_of(path)}:{node.name}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and any(map(is_flow, node.decorator_list))
    }
    assert flows == {each["entrypoint"] for each in DEPLOYMENTS}


def test_a_flow_file_defines_only_flows() -> None:
    """And at most one function that composes a run's name; what a flow does is in `flows/runs/`."""
    files = [path for path in CHECKOUT.glob("flows/*.py") if not path.name.startswith("__")]
    assert files
    defined = [
        (name_of(path), node)
        for path in files
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    others = [(path, node.name) for path, node in defined if not any(map(is_flow, node.decorator_list))]
    assert [name for _, name in others if not name.endswith("_run_name")] == []
    assert len(others) == len({path for path, _ in others})


def is_flow(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "flow"


def test_triggers_expect_the_events_that_are_sent() -> None:
    notify = next(each for each in DEPLOYMENTS if each["name"] == "notify")
    triggers = {each["name"].removeprefix("attachment-alerts, "): set(each["expect"]) for each in notify["triggers"]}
    sent = {kind: events.PREFIX + name for kind, name in events.NAMES.items() if kind != "gap_found"}
    of_connectors = {name for kind, name in sent.items() if kind in events.OF_CONNECTORS}
    assert triggers["groups"] == {*sent.values(), f"{events.PREFIX}digest"} - of_connectors
    assert triggers["connectors"] == of_connectors


def test_no_secret_is_resolved_into_a_deployment() -> None:
    assert "prefect.blocks" not in (CHECKOUT / "prefect.yaml").read_text(encoding="utf-8")


def test_every_table_and_column_has_a_comment(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path))
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


QUOTED = {("group_changes", "at"): "changed_at", ("triage_log", "at"): "decided_at", ("triage_log", "by"): "author"}
KEYWORDS = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"


def test_every_column_has_a_name_that_needs_no_quotes(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path))
    store.publish()
    with store.reader() as reader:
        keywords = {word for (word,) in reader.rows(KEYWORDS)}
        columns = set(reader.rows("SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main'"))
        plain = {(relation, name) for relation, name in columns if name.isidentifier() and name not in keywords}
        assert columns - plain == QUOTED.keys()
        assert {(relation, other) for (relation, _), other in QUOTED.items()} <= plain


# Places that work around a property of Prefect 3.8, and what it is.
WORKAROUNDS = {
    "pyproject.toml": "versions of fastapi and sqlalchemy that it fails with; leases that a restart would lose",
    "flows/runs/current_run.py": "a run that is cancelled before its process starts is started all the same",
    "flows/runs/connector_run.py": "the level of extra loggers is taken from the logger itself",
    "flows/runs/final_states.py": "the same, and a failed run's result must be an exception",
    "flows/deploy/zombie_runs.py": "prefect.yaml can only declare automations that start a flow",
    "flows/deploy/triggers.py": "each deploy creates the automations of prefect.yaml again, switched on",
    "tasks/connectors/base.py": "the V2 UI does not check a form's rules",
}


def test_workarounds_are_for_the_installed_prefect() -> None:
    assert [name for name in WORKAROUNDS if not (CHECKOUT / name).is_file()] == []
    assert Version(version("prefect")) < Version("3.9"), f"Look at these places again: {WORKAROUNDS}"


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


def test_constraints_pin_every_transitive_dependency() -> None:
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
