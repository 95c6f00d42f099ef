"""What the pages name exists, and what they quote works."""

import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

import click
import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.testing import CliRunner

from flows.cli import app as cli
from flows.runs.running_slice import RunningSlice
from flows.runs.slice_stages import Pull, process_slice
from tasks.entra import check as entra_check
from tasks.http.tls_check import REACHED
from tasks.ingest.pull_session import begin
from tasks.mimecast import check as mimecast_check
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.regions import HOSTS
from tasks.mimecast.stages import open_stages
from tasks.settings import CHECKOUT, Settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Slice
from tests.pages import PAGES, QUESTIONS, fenced, first_cells, generated, name_of
from tests.simulator import V2_KEYS, Simulator, World, serve

README = CHECKOUT / "README.md"
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
UNIT = CHECKOUT / "data" / "attachment-alerts.service"
PROGRAM = "attachment-alerts"


# Links


def headings(page: Path) -> list[str]:
    without_code = re.sub(r"^ *```.*?^ *```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives to the headings of a page."""
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings(page)}


def dead_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page]):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{name_of(page)}: {link}"


def test_links_lead_to_existing_files_and_headings() -> None:
    assert [link for page in PAGES for link in dead_links(page)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", TEXTS[page])
            waiting += [path for target in targets if (path := (page.parent / target).resolve()) in TEXTS]
    assert set(PAGES) - reached == set()


def test_headings_of_a_page_have_distinct_anchors() -> None:
    assert [name_of(page) for page in PAGES if len(anchors(page)) != len(headings(page))] == []


def test_readme_has_at_most_250_lines() -> None:
    assert len(TEXTS[README].splitlines()) <= 250


# Commands


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


ROOT = typer.main.get_command(cli.app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = dict(commands(ROOT))


@cache
def options(path: tuple[str, ...]) -> set[str]:
    """The options of a command; those of connectors are built at the call."""
    shown = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200"}, color=False)
    assert shown.exit_code == 0, shown.output
    return set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", shown.output))


def quoted_calls(page: Path) -> Iterator[list[str]]:
    """The arguments of every call of the program in a page."""
    shell = "\n".join(fenced(page, "bash")).replace("\\\n", " ").splitlines()
    calls = [call for line in shell for call in re.split(r" && | \| ", line)]
    for call in [*calls, *re.findall(r"`([^`\n]+)`", TEXTS[page])]:
        words = shlex.split(call, comments=True) if PROGRAM in call else []
        starts = [place for place, word in enumerate(words) if Path(word).name == PROGRAM]
        if starts and (starts[-1] == 0 or words[0] == "sudo") and words[starts[-1] + 1 :]:
            yield words[starts[-1] + 1 :]


def unknown(words: list[str]) -> str | None:
    """The part of a call that does not exist; None if all of it does."""
    path: tuple[str, ...] = ()
    given = {"--traceback"} & set(words)
    for word in words:
        if (*path, word) in COMMANDS:
            path = (*path, word)
        elif isinstance(COMMANDS.get(path, ROOT), TyperGroup) and re.fullmatch(r"[a-z][a-z-]*", word):
            return " ".join((*path, word))
        elif word.startswith("-"):
            given.add(word.partition("=")[0])
    missing = given - options(()) - options(path)
    return f"{' '.join(path)}: {missing}" if missing else None


def test_commands_and_options_in_the_pages_exist() -> None:
    calls = [(name_of(page), words) for page in PAGES for words in quoted_calls(page)]
    assert len(calls) > 50
    assert [(page, missing) for page, words in calls if (missing := unknown(words))] == []


def test_every_command_is_documented() -> None:
    called = {" ".join(words) for page in PAGES for words in quoted_calls(page)}
    names = [" ".join(path) for path, command in COMMANDS.items() if not isinstance(command, TyperGroup)]
    assert [name for name in names if not any(re.match(rf"{name}(?: |$)", call) for call in called)] == []


@pytest.mark.parametrize("marker", ["test command", "browser command", "server test command"])
def test_ci_finds_its_commands_in_the_readme(marker: str) -> None:
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"'/<!-- {marker} -->/,/^```$/p' README.md" in script
    assert re.search(rf"^<!-- {marker} -->\n```bash\n.+\n```$", TEXTS[README], re.MULTILINE)


def test_readme_names_the_required_python() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=")
    assert re.search(rf"Python\s+{re.escape(least)}", TEXTS[README])


# Generated blocks and tables


def test_generated_blocks_are_up_to_date() -> None:
    """If not: `python -m tests.pages`."""
    assert [name_of(page) for page, text in TEXTS.items() if generated(text) != text] == []


def test_every_setting_is_documented_and_exists() -> None:
    known = {f"ATTACHMENT_ALERTS_{name.upper()}" for name in Settings.model_fields}
    assert set(first_cells(CHECKOUT / "data" / "README.md", "setting")) == known


SECRETS_AND_SWITCHES = {
    *(
        f"ATTACHMENT_ALERTS_{name}"
        for name in ("CLIENT_SECRET", "CLIENT_CERTIFICATE", "APPLICATION_KEY", "ACCESS_KEY", "SECRET_KEY", "TRACEBACK")
    ),
}


def test_settings_that_pages_mention_exist() -> None:
    known = {f"ATTACHMENT_ALERTS_{name.upper()}" for name in Settings.model_fields} | SECRETS_AND_SWITCHES
    named = {name for text in TEXTS.values() for name in re.findall(r"ATTACHMENT_ALERTS_[A-Z_]*[A-Z]\b(?!_…)", text)}
    assert named - known == set()


def test_every_connection_check_is_documented() -> None:
    mimecast = first_cells(CHECKOUT / "tasks" / "mimecast" / "README.md", "check")
    assert mimecast == ["address", REACHED, *mimecast_check.AFTER_REACH]
    entra = first_cells(CHECKOUT / "tasks" / "entra" / "README.md", "check")
    assert entra == ["address", entra_check.SIGN_IN_HOST, entra_check.GRAPH_HOST, *entra_check.AFTER_REACH]


def test_every_region_is_documented() -> None:
    page = TEXTS[CHECKOUT / "tasks" / "mimecast" / "README.md"]
    assert [region for hosts in HOSTS.values() for region in hosts if f"`{region}`" not in page] == []


def test_every_health_state_is_documented() -> None:
    views = (CHECKOUT / "tasks" / "sql" / "views.sql").read_text(encoding="utf-8")
    states = re.findall(r"(?:THEN|ELSE) '(\w+)'", views.partition("CREATE OR REPLACE VIEW connector_health")[2])
    assert set(first_cells(CHECKOUT / "flows" / "README.md", "state")) == set(states)


def test_every_event_that_becomes_a_message_is_documented() -> None:
    deployments = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    triggers = next(each for each in deployments if each["name"] == "notify")["triggers"]
    page = TEXTS[CHECKOUT / "tasks" / "notifications" / "README.md"]
    events = {event for trigger in triggers for event in trigger["expect"]}
    assert [event for event in events if f"`{event}`" not in page] == []


# Queries


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The demo's account, loaded and published without Prefect."""
    store = open_store(Settings(home=tmp_path_factory.mktemp("home")))
    now = datetime.now(UTC).replace(microsecond=0)
    slice_ = Slice(now - timedelta(days=7), now, "poll")
    source = Source(UUID(int=1), "demo", "mimecast", "default", 15, "", None, timedelta(days=7))
    begun, stop, scratch = begin(store, source, now), threading.Event(), store.settings.home / "scratch"
    with serve(Simulator(World.demo(now))) as running:
        connector = MimecastConnector(base_url=running.url, allow_other_host=True, **V2_KEYS)
        with open_stages(connector, source, store.settings, stop) as stages:
            account = store.account(source.connector_id, stop)
            pull = Pull(stages, source, store, begun, Publisher(store, "poll"), account, stop)
            process_slice(pull, RunningSlice(slice_, scratch))
    store.publish()
    return store


EMPTY_IN_THE_DEMO = {"changed_verdicts", "file_history", "time_to_close", "allow_list_effect"}


@pytest.mark.parametrize("file", sorted(QUESTIONS.glob("*.sql")), ids=lambda file: file.stem)
def test_question_has_rows_in_the_demo(file: Path, demo_store: Store) -> None:
    with demo_store.reader() as reader:
        answer = reader.rows(file.read_text(encoding="utf-8"))
    assert bool(answer) == (file.stem not in EMPTY_IN_THE_DEMO)


def test_every_question_is_quoted() -> None:
    page = TEXTS[CHECKOUT / "tasks" / "sql" / "README.md"]
    files = {file: file.read_text(encoding="utf-8").partition("\n")[2] for file in QUESTIONS.glob("*.sql")}
    assert [file.name for file, query in files.items() if query not in page] == []


def test_queries_in_the_pages_run(demo_store: Store) -> None:
    queries = [query for page in PAGES for query in fenced(page, "sql")]
    assert len(queries) > len(list(QUESTIONS.glob("*.sql")))
    with demo_store.reader() as reader:
        for query in queries:
            reader.rows(query)


def test_every_relation_is_documented(demo_store: Store) -> None:
    views = "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal"
    with demo_store.reader() as reader:
        relations = {name for (name,) in reader.rows(views)}
    assert set(first_cells(CHECKOUT / "tasks" / "sql" / "README.md", "relation")) == relations


def test_python_examples_run(demo_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo_store.settings.home)
    Path("data").symlink_to(".")
    examples = [(page, example) for page in PAGES for example in fenced(page, "python")]
    assert examples
    for page, example in examples:
        exec(compile(example, name_of(page), "exec"), {})  # noqa: S102 - our own page


# The service


SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    program = Path(sys.executable).with_name(PROGRAM)
    text = UNIT.read_text(encoding="utf-8").replace(f"/srv/{PROGRAM}/.venv/bin/{PROGRAM}", str(program))
    unit.write_text(text.replace(f"WorkingDirectory=/srv/{PROGRAM}", f"WorkingDirectory={CHECKOUT}"))
    call = [str(SYSTEMD_ANALYZE), "verify", "--man=no", str(unit)]
    verified = subprocess.run(call, capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if unit.name in line] == []
    assert verified.returncode == 0
