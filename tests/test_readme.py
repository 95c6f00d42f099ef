"""The README keeps its word: what it names exists, what it shows runs."""

import re
import shutil
import subprocess
import sys
import threading
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
import typer
from typer.core import TyperGroup

from flows.cli import app
from flows.runs.slice_tasks import Pull, load
from tasks.http import tls_check
from tasks.ingest import pull_session
from tasks.ingest.account_lock import Turn
from tasks.mimecast import check
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.regions import HOSTS
from tasks.mimecast.simulator import V2_KEYS, Simulator, World, serve
from tasks.mimecast.stages import open_stages
from tasks.settings import CHECKOUT, DEFAULTS, Settings
from tasks.source import Source
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Slice

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SECTIONS = [
    "See it work",
    "Test it",
    "Connecting a real Mimecast account",
    "Directory exports: people and devices",
    "Running on a schedule",
    "Notifications",
    "Backfills",
    "The tables",
    "Triage",
    "Allow-list",
    "Settings",
    "Your own priorities and responses",
    "Changing the rules later",
    "What is kept, and for how long",
    "How it is built",
    "Adding a connector for another product",
    "Troubleshooting",
]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, without the fences."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)


def rows(title: str) -> list[list[str]]:
    """Cells of the first table whose first column is called `title`."""
    table = README.partition(f"\n| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert table, f"no table begins with {title}"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in table]


def test_sections_stand_in_their_order() -> None:
    assert re.findall(r"^## (.+)$", README, re.MULTILINE) == SECTIONS


def test_links_inside_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#(.+?)\)", README)) <= anchors


def test_first_commands_are_one_line_each() -> None:
    demo, uv, *_ = blocks("bash")
    for command in (demo, uv):
        assert command.count("\n") == 1
        assert "-c constraints.txt -e . && .venv/bin/attachment-alerts demo" in command


def test_ci_runs_the_test_command_of_this_page() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert "'/<!-- test command -->/,/^```$/p' README.md" in script
    command = re.search(r"<!-- test command -->\n```bash\n(.+)\n```\n", README)
    assert command, "the marker must stand directly before the fence, and the command is one line"
    assert "-c constraints.txt -e '.[test]' && .venv/bin/python -m pytest" in command[1]


def test_ci_runs_the_second_test_command_too() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert "'/<!-- server test command -->/,/^```$/p' README.md" in script
    command = re.search(r"<!-- server test command -->\n```bash\n(.+)\n```\n", README)
    assert command, "the marker must stand directly before the fence, and the command is one line"
    assert "-m 'server or browser'" in command[1]


def test_ci_installs_the_browser_of_this_page() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert "'/<!-- browser command -->/,/^```$/p' README.md" in script
    command = re.search(r"<!-- browser command -->\n```bash\n(.+)\n```\n", README)
    assert command
    assert command[1].endswith(" chromium")


def settings_table() -> list[str]:
    """The table as it must stand, from the settings themselves."""
    table = []
    for name, field in Settings.model_fields.items():
        limits = {type(each).__name__: each for each in field.metadata}
        values = " ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
        if "Ge" in limits:
            values = f"{limits['Ge'].ge} to {limits['Le'].le}" if "Le" in limits else f"{limits['Ge'].ge} or more"
        default = (
            "the checkout's `data/`" if field.default == DEFAULTS else f"`{field.default}`" if field.default else "none"
        )
        meaning = (field.description or "").replace("|", r"\|")
        table.append(f"| `ATTACHMENT_ALERTS_{name.upper()}` | {values or 'text'} | {default} | {meaning} |")
    return table


def test_settings_table_is_complete() -> None:
    table = README.partition("\n| setting |")[2].partition("\n\n")[0].splitlines()[2:]
    assert table == settings_table()


def test_defaults_of_the_settings_that_the_text_speaks_of() -> None:
    settings = Settings()
    assert (settings.overlap_minutes, settings.recheck_hours, settings.slice_hours) == (60, 72, 24)


def commands(group: TyperGroup, words: tuple[str, ...] = ()) -> list[str]:
    found = []
    for name, command in group.commands.items():
        path = (*words, name)
        found += commands(command, path) if isinstance(command, TyperGroup) else [" ".join(path)]
    return found


def test_every_command_is_named() -> None:
    root = typer.main.get_command(app.app)
    assert isinstance(root, TyperGroup)
    known = commands(root)
    assert "connectors rotate" in known
    assert [each for each in known if not re.search(rf"attachment-alerts {each}\b", README)] == []


def test_every_command_it_names_exists() -> None:
    root = typer.main.get_command(app.app)
    assert isinstance(root, TyperGroup)
    known = commands(root)
    named = set(
        re.findall(r"attachment-alerts ([a-z][a-z-]+(?: (?:add|apply|list|show|rename|rotate|remove)\b)?)", README)
    )
    assert named - {*known, "connectors", "allow-list", "test-connection"} == set()


def test_every_check_of_the_connection_test_is_explained() -> None:
    explained = [cells[0].strip("`") for cells in rows("check")]
    assert explained == ["address", tls_check.REACHED, *check.AFTER_REACH]


def test_every_region_is_named() -> None:
    page = README.partition("## Connecting")[2].partition("\n## ")[0]
    assert [region for hosts in HOSTS.values() for region in hosts if f"`{region}`" not in page] == []


SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="no systemd here")
def test_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    (block,) = blocks("ini")
    unit = tmp_path / "attachment-alerts.service"
    program = Path(sys.executable).with_name("attachment-alerts")
    there = block.replace("/srv/attachment-alerts/.venv/bin/attachment-alerts", str(program))
    unit.write_text(there.replace("WorkingDirectory=/srv/attachment-alerts", f"WorkingDirectory={CHECKOUT}"))
    call = [str(SYSTEMD_ANALYZE), "verify", "--man=no", str(unit)]
    verified = subprocess.run(call, capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if unit.name in line] == []
    assert verified.returncode == 0


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The demo's six days, loaded and published, without Prefect."""
    store = Store(Settings(home=tmp_path_factory.mktemp("home")))
    now = datetime.now(UTC).replace(microsecond=0)
    piece = Slice(now - timedelta(days=7), now, "poll")
    source = Source(UUID(int=1), "demo", "mimecast", "default", 15, "", None, timedelta(days=7))
    begun, stop, scratch = pull_session.begin(store, source, now), threading.Event(), store.settings.home / "scratch"
    with serve(Simulator(World.demo(now))) as running:
        connector = MimecastConnector(base_url=running.url, allow_other_host=True, **V2_KEYS)
        with open_stages(connector, source, store.settings, stop) as stages:
            extracted = stages.extract(piece, scratch)
            validated = stages.validate(extracted, scratch, begun.open_rejects)
            transformed = stages.transform(validated, scratch, piece)
            turn = Turn(store.settings.home, source.connector_id, stop)
            pull = Pull(stages, source, store, begun, Publisher(store, "poll"), turn, stop, lambda _done, _total: None)
            load.fn(pull, piece, extracted, validated, transformed)
    store.publish()
    return store


QUERIES = blocks("sql")
EMPTY_IN_THE_DEMO = ("FROM scan_changes", "WHERE file_sha256 = ", "FROM triage_log", "FROM allow_list")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split("FROM ", 1)[1].split()[0])
def test_queries_run(query: str, demo_store: Store) -> None:
    with demo_store.reader() as reader:
        answer = reader.rows(query)
    assert answer or any(words in query for words in EMPTY_IN_THE_DEMO)


def test_there_are_enough_queries() -> None:
    assert len(QUERIES) >= 5


def test_every_relation_is_in_the_table_of_relations(demo_store: Store) -> None:
    with demo_store.reader() as reader:
        views = {
            row[0]
            for row in reader.rows("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal")
        }
    assert {cells[0].strip("`") for cells in rows("relation")} == views


def test_every_health_state_that_can_occur_is_explained() -> None:
    views = (CHECKOUT / "tasks/sql/views.sql").read_text(encoding="utf-8")
    states = re.findall(r"(?:THEN|ELSE) '(\w+)'", views.partition("CREATE OR REPLACE VIEW connector_health")[2])
    assert {cells[0].strip("`") for cells in rows("state")} == set(states)


def test_limits_it_states_are_those_of_the_connector() -> None:
    fields: dict[str, Any] = MimecastConnector.model_json_schema()["properties"]
    assert (fields["first_look_back_days"]["default"], fields["first_look_back_days"]["maximum"]) == (7, 60)


def test_python_version_is_the_one_that_is_required() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or\nlater" in README


def test_python_example_runs(demo_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("python")
    assert Path(DEFAULTS / "alerts.duckdb").relative_to(CHECKOUT).as_posix() in example
    monkeypatch.chdir(demo_store.settings.home)
    Path("data").symlink_to(".")
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own page
