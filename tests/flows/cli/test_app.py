"""Commands that only read, help, errors and exit statuses."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import typer
from packaging.version import Version
from prometheus_client.parser import text_string_to_metric_families
from typer.core import TyperCommand, TyperGroup

from flows.cli import app
from flows.console.invocation import relative_to_cwd
from flows.runs.running_slice import RunningSlice
from flows.runs.slice_stages import Pull, process_slice
from tasks.connectors.base import build_connector
from tasks.ingest import pull_session
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.stages import open_stages
from tasks.queries import lookups
from tasks.settings import Settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Slice
from tests.flows.cli.command import NARROW, NARROWEST, WIDE, Command
from tests.simulator import V2_KEYS, Simulator, World, serve

SOURCE = Source(UUID(int=1), "demo", "mimecast", "default", 15, "", None, timedelta(days=7))
FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the demo's records, loaded and published as by a run, without Prefect."""
    home = tmp_path_factory.mktemp("filled")
    store, now = open_store(Settings(home=home)), datetime.now(UTC).replace(microsecond=0)
    begun, stop, scratch = pull_session.begin(store, SOURCE, now), threading.Event(), home / "scratch"
    slice_ = Slice(now - timedelta(days=7), now, "poll")
    with serve(Simulator(World.demo(now))) as running:
        connector = build_connector(MimecastConnector, {"base_url": running.url, "allow_other_host": True, **V2_KEYS})
        with open_stages(connector, SOURCE, store.settings, stop) as stages:
            account, publisher = store.account(SOURCE.connector_id, stop), Publisher(store, "poll")
            pull = Pull(stages, SOURCE, store, begun, publisher, account, stop)
            process_slice(pull, RunningSlice(slice_, scratch))
    store.publish()
    return home


@pytest.fixture
def home(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The filled home, selected by the environment."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(filled))
    return filled


@pytest.fixture
def own_copy(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the filled home that a test may change."""
    copy = tmp_path / "copy"
    shutil.copytree(filled, copy)
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(copy))
    return open_store(Settings(home=copy))


def change(store: Store, sql: str, **facts: object) -> None:
    with store.transaction() as transaction:
        transaction.run(sql, facts or None)
        transaction.publish = True


def every_command(group: TyperGroup, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    for name, each in group.commands.items():
        if isinstance(each, TyperGroup):
            yield from every_command(each, (*words, name))
        else:
            assert isinstance(each, TyperCommand)
            yield (*words, name), each


ROOT = typer.main.get_command(app.app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = dict(every_command(ROOT))
FROM_FIELDS = {("connectors", name) for name in ("add", "set", "rotate")}  # these load Prefect: see test_connectors.py


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_a_valid_example(words: tuple[str, ...], command: Command) -> None:
    epilog = COMMANDS[words].epilog or ""
    calls = [shlex.split(line)[1:] for line in epilog.splitlines() if line.strip().startswith("attachment-alerts")]
    assert calls
    assert all(call[: len(words)] == list(words) for call in calls)
    if words in FROM_FIELDS:
        return
    says = command(*words, "--help")
    assert says.status == 0
    assert f"attachment-alerts {' '.join(words)}" in says.out
    assert "--home" in says.out
    for call in calls:
        COMMANDS[words].make_context(" ".join(words), call[len(words) :])


def test_help_lists_every_command(command: Command) -> None:
    says = command("--help")
    assert [words[0] for words in COMMANDS if words[0] not in says.out] == []
    assert command("connectors", "--help").out.count("connectors") > 2


@pytest.mark.parametrize("call", [["--version"], ["--version", "poll"], ["--version", "nothing"]], ids=" ".join)
def test_version_is_the_only_output_whatever_follows(call: list[str], command: Command) -> None:
    ran = command(*call)
    name, _, number = ran.out.partition(" ")
    assert (ran.status, name, ran.err) == (0, "attachment-alerts", "")
    assert str(Version(number.strip())) == number.strip()


WITHOUT_PREFECT = """
    --help
    --version
    connectors --help
    poll --help
    serve --help
    alerts
    group 0
    health
    triage --priority medium --status in_progress --yes
    triage ffff --status in_progress
    allow-list add sender a@b.example --reason x --yes
    allow-list list
    allow-list remove ffff
    regroup --gap-hours 1 --apply --yes
    replay priorities responses --apply --yes
    retention --apply --yes
"""
CALLS = """
import shlex, sys
from flows.cli.app import main
for call in sys.stdin.read().strip().splitlines():
    try:
        main(shlex.split(call))
    except SystemExit as end:
        assert end.code in (0, 1), (call, end.code)
    loaded = {"prefect", "starlette", "pandera"} & set(sys.modules)
    assert not loaded, (call, loaded)
"""


def test_commands_without_connector_do_not_load_prefect(own_copy: Store) -> None:
    call = [sys.executable, "-c", CALLS]
    done = subprocess.run(call, input=WITHOUT_PREFECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_of_the_command_does_not_load_duckdb_polars_or_prefect() -> None:
    quick = "import sys, flows.cli.app; assert not {'duckdb', 'polars', 'prefect'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", quick], check=True)


def test_path_is_relative_only_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "program"
    monkeypatch.chdir(tmp_path)
    assert relative_to_cwd(program) == "bin/program"
    for elsewhere in (tmp_path.parent / "other", Path("/")):
        elsewhere.mkdir(exist_ok=True)
        monkeypatch.chdir(elsewhere)
        assert relative_to_cwd(program) == str(program)


@pytest.mark.parametrize("width", [NARROWEST, NARROW, WIDE])
def test_alerts_lists_the_most_urgent_groups_first(home: Path, command: Command, width: int) -> None:
    command.width = width
    says = command("alerts")
    assert says.status == 0
    assert all(len(line) <= width for line in says.out.splitlines())
    priorities = re.findall(r"\b(high|medium)\b", says.out.partition("groups")[0])
    assert priorities.index("medium") == priorities.count("high")
    assert re.search(r"released( 4 of 25|\b.*\n.* 4 of 25\b)", says.out)
    assert "19 groups · 11 high · 8 medium" in says.out
    assert re.search(r"[\d,]+ scans hidden as low · published\s+\d{4}-\d\d-\d\d \d\d:\d\d UTC", says.out)


def test_hostile_text_is_escaped_in_the_terminal(home: Path, command: Command) -> None:
    groups = json.loads(command("alerts", "--json", "--priority", "high").out)
    pages = [command("group", each["group_id"]).out for each in groups]
    for command.width in (60, NARROW, WIDE):
        pages.append(command("alerts").out)
    text = "".join(pages)
    assert {character for character in text if not character.isprintable()} == {"\n"}
    assert "\\u202efdp.exe" in text
    assert "\\x1b[2J\\x1b[31mAll clear.pdf" in text
    assert "[reset your password](https://phish.test) | x | .md" in text


LOCALES = {
    "latin-1": {"PYTHONIOENCODING": "iso-8859-1"},
    "windows": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
EVERY_PAGE = """
import shlex, sys
from flows.cli.app import main
for call in ("alerts", "group $ID", "health", "--help", "group --help", "allow-list list", "triage --help"):
    try:
        main(shlex.split(call.replace("$ID", sys.argv[1])))
    except SystemExit as end:
        assert end.code == 0, (call, end.code)
"""


@pytest.mark.parametrize("variables", LOCALES.values(), ids=LOCALES)
def test_output_that_the_stream_cannot_encode_is_escaped(
    variables: dict[str, str], own_copy: Store, command: Command
) -> None:
    change(own_copy, "UPDATE internal.groups SET file_name = 'Łódź ✔ ' || file_name")
    group = json.loads(command("alerts", "--json").out)[0]["group_id"]
    call = [sys.executable, "-c", EVERY_PAGE, group]
    done = subprocess.run(call, env=os.environ | variables, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"\\u0141" in done.stdout
    assert b"\\u2714" in done.stdout


def test_json_has_full_rows_without_control_characters(home: Path, command: Command) -> None:
    says = command("alerts", "--json")
    assert {character for character in says.out if not 32 <= ord(character) < 127} == {"\n"}
    rows = json.loads(says.out)
    assert len(rows) == 19
    assert all(FULL_ID.fullmatch(row["group_id"]) for row in rows)
    assert datetime.fromisoformat(rows[0]["last_detected_at"]).tzinfo is not None
    assert any(row["file_names"] == ["\x1b[2J\x1b[31mAll clear.pdf"] for row in rows)


def test_alerts_with_filters_lists_matching_groups_only(home: Path, command: Command) -> None:
    medium = command("alerts", "--priority", "medium")
    assert "8 of 19 groups" in medium.out
    assert len(json.loads(command("alerts", "--limit", "3", "--json").out)) == 3
    recent = json.loads(command("alerts", "--since", "24h", "--json").out)
    assert 0 < len(recent) < 19
    day = datetime.now(UTC) - timedelta(hours=24)
    assert all(datetime.fromisoformat(row["last_detected_at"]) >= day for row in recent)
    assert len(json.loads(command("alerts", "--tenant", "default", "--json").out)) == 19
    assert command("alerts", "--tenant", "another").out.strip().startswith("0 of 19 groups")
    none = command("alerts", "--since", "2999-01-01")
    assert (none.status, none.out.strip()[:14]) == (0, "0 of 19 groups")


def test_times_are_shown_in_the_configured_zone(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_TIME_ZONE", "Asia/Kathmandu")  # UTC+05:45
    row = json.loads(command("alerts", "--limit", "1", "--json").out)[0]
    there = datetime.fromisoformat(row["first_detected_at"]) + timedelta(hours=5, minutes=45)
    says = command("alerts", "--limit", "1").out
    assert "(Kathmandu)" in says
    assert f"{there:%m-%d %H:%M}" in says


ON_THE_PAGE = (
    "Invoice_88213.html",
    "released 4 of 25",
    '"user release, none" (4)',
    "once, the last time as",
    "Recipients  25",
    "Alerts  7 of 25",
    "Exposures  3 recipients",
)


def test_group_shows_all_its_facts(home: Path, command: Command) -> None:
    campaign = next(row for row in json.loads(command("alerts", "--json").out) if row["alert_count"] == 25)
    for asked in (campaign["group_id"], campaign["group_id"][:8].upper(), campaign["group_id"].replace("-", "")[:12]):
        says = command("group", asked, "--alerts", "7")
        assert says.status == 0
        assert campaign["file_sha256"] in says.out
        assert [words for words in ON_THE_PAGE if words not in says.out] == []
    page = json.loads(command("group", campaign["group_id"], "--json").out)
    assert page["group"] == campaign
    assert (len(page["alerts"]), len(page["exposures"]), page["asked_for"]) == (20, 3, None)
    command.width = NARROWEST
    narrow = command("group", campaign["group_id"]).out
    assert campaign["file_sha256"] in narrow
    tables = narrow.partition("\nAlerts  ")[2]
    addresses = [each[whose] for each in page["alerts"] for whose in ("recipient", "sender")]
    assert [each for each in (*addresses, "after the first alert") if each not in tables] == []


def test_group_without_hash_has_no_exposures(home: Path, command: Command) -> None:
    bare = next(row for row in json.loads(command("alerts", "--json").out) if row["file_sha256"] is None)
    says = command("group", bare["group_id"])
    assert (says.status, "scan0001.pdf" in says.out, "Exposures" in says.out) == (0, True, False)
    assert "1 alert · 1 recipient · " in says.out


def test_ended_id_leads_to_the_group_that_received_its_alerts(own_copy: Store, command: Command) -> None:
    row = json.loads(command("alerts", "--limit", "1", "--json").out)[0]
    ended = "ffffffff-0000-4000-8000-000000000001"
    change(
        own_copy,
        "INSERT INTO internal.group_ids (group_id, tenant, created_no, current_group_id, ended_at) "
        "VALUES ($old::UUID, 'default', 999, $new::UUID, now())",
        old=ended,
        new=row["group_id"],
    )
    says = command("group", "ffffffff-0000")
    assert says.status == 0
    assert ended in says.err and row["group_id"] in says.err
    assert json.loads(command("group", ended, "--json").out)["asked_for"] == ended


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["group", "zz\x1b[2J"], r"No group has an ID that begins with 'zz\\x1b[2J'"),
        (["group", ""], "No group has an ID"),
        (["alerts", "--since", "yesterday"], "'yesterday'"),
        (["alerts", "--since", "7x"], "'7x'"),
        (["backfill", "acme", "--from", "soon", "--to", "2026-03-01"], "'soon'"),
    ],
)
def test_invalid_value_is_one_line_that_quotes_it(call: list[str], sentence: str, home: Path, command: Command) -> None:
    says = command(*call)
    assert (says.status, says.out) == (1, "")
    assert sentence.replace("\\\\", "\\") in says.err
    assert says.err.count("\n") == 1


def test_ambiguous_id_prefix_lists_the_candidates(own_copy: Store, command: Command) -> None:
    change(own_copy, "UPDATE internal.groups SET group_id = ('abcd' || substr(group_id::VARCHAR, 5))::UUID")
    says = command("group", "abcd")
    assert says.status == 1
    assert re.search(r"'abcd' matches 19 groups: (abcd[0-9a-f-]+, ){4}abcd[0-9a-f-]+ and 14 more", says.err)


def test_home_without_tables_is_reported_and_not_created(tmp_path: Path, command: Command) -> None:
    for call in (["alerts"], ["group", "ab"], ["health"]):
        says = command(*call, "--home", str(tmp_path / "empty"))
        assert (says.status, says.out) == (1, "")
        assert "does not exist yet. Poll a connector first" in says.err
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_exit_with_2(command: Command) -> None:
    for call in (["poll"], ["alerts", "--priority", "low"], ["nothing"], ["alerts", "--limit", "0"]):
        assert command(*call).status == 2
    assert command("backfill", "acme", "--from", "2026-03-01").status == 2


def test_invalid_setting_exits_with_1_and_its_name(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_TIME_ZONE", "Mars")
    says = command("alerts")
    assert (says.status, "ATTACHMENT_ALERTS_TIME_ZONE" in says.err) == (1, True)


def test_traceback_only_with_its_option(home: Path, command: Command) -> None:
    assert "Traceback" not in command("group", "zz").err
    for call in (["--traceback", "group", "zz"], ["group", "zz", "--traceback"]):
        ran = command(*call)
        assert (ran.status, "Traceback" in ran.err, "OperatorError" in ran.err) == (1, True, True)


def test_interruption_is_one_line_and_130(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(store: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lookups, "health", interrupted)
    says = command("health")
    assert (says.status, says.out, says.err) == (130, "", "Stopped.\n")


def test_defect_keeps_its_traceback_escaped(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: Store) -> None:
        raise ValueError("no\x1b[2J")

    monkeypatch.setattr(lookups, "health", fail)
    ran = command("health")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("Traceback")
    assert "ValueError: no\\x1b[2J" in ran.err
    assert "defect" in ran.err.splitlines()[-1]


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/srv/x\x1b[2J"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "/srv/x"),
    ],
    ids=lambda error: errno.errorcode[error.errno],
)
def test_system_error_is_one_line_with_reason_and_path(
    error: OSError, home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(store: Store) -> None:
        raise error

    monkeypatch.setattr(lookups, "health", fail)
    ran = command("health")
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert error.strerror in ran.err
    assert error.filename is None or "/srv/x" in ran.err
    assert "\x1b" not in ran.err
    assert "defect" not in ran.err


OTHER = """
    INSERT INTO internal.connectors BY NAME (
        SELECT * REPLACE (uuid() AS connector_id, 'other' AS name) FROM internal.connectors
    )
"""
LATE = "UPDATE internal.coverage SET end_at = end_at - INTERVAL 1 DAY"
QUIET = "UPDATE internal.windows SET newest_at = newest_at - INTERVAL 3 DAY"
NEVER = "DELETE FROM internal.windows"
FAILING = """
    INSERT INTO internal.windows BY NAME (
        SELECT * REPLACE ('failed' AS state, 'ServiceUnavailable' AS error_kind, 'It was \x1b[2J down.' AS error,
                          finished_at + INTERVAL 1 MINUTE AS finished_at)
        FROM internal.windows
    )
"""
REFUSED = FAILING.replace("ServiceUnavailable", "KeyExpired")


@pytest.mark.parametrize(
    ("sql", "state", "status"),
    [
        ("SELECT 1", "ok", 0),
        (LATE, "late", 1),
        (QUIET, "quiet", 1),
        (NEVER, "never run", 1),
        (FAILING, "failing", 2),
        (REFUSED, "auth failed", 2),
    ],
)
def test_health_exits_with_the_status_of_the_state(
    sql: str, state: str, status: int, own_copy: Store, command: Command
) -> None:
    change(own_copy, sql)
    says = command("health")
    assert (says.status, state in says.out) == (status, True)
    command.width = NARROWEST
    narrow = command("health").out
    assert [words for words in ("demo", state, "Keys expire", "Failures") if words not in narrow] == []
    assert "…" not in narrow
    assert {character for character in says.out if not character.isprintable()} == {"\n"}
    rows = json.loads(command("health", "--json").out)
    assert [(row["connector"], row["state"].replace("_", " ")) for row in rows] == [("demo", state)]


OFF = "UPDATE internal.connectors SET polling = false"


@pytest.mark.parametrize(("counts_as", "status"), [("ok", 0), ("warning", 1), ("critical", 2)])
def test_health_of_a_connector_that_is_switched_off_exits_as_chosen(
    counts_as: str, status: int, own_copy: Store, command: Command
) -> None:
    change(own_copy, OFF)
    ran = command("health", "--switched-off", counts_as)
    assert (ran.status, "demo  is not polled" in ran.out) == (status, True)
    change(own_copy, OTHER)  # which has never run
    assert command("health", "--switched-off", counts_as).status == max(status, 1)


HOSTILE = r"""UPDATE internal.connectors SET name = 'a"b\c' || chr(10) || 'x{y="z"} 1'"""


@pytest.mark.parametrize(
    ("sql", "name", "state", "status"),
    [
        ("SELECT 1", "demo", "ok", 0),
        (OFF, "demo", "off", 0),
        (LATE, "demo", "late", 1),
        (REFUSED, "demo", "auth_failed", 2),
        (HOSTILE, 'a"b\\c\nx{y="z"} 1', "ok", 0),
    ],
    ids=["ok", "off", "late", "auth_failed", "hostile name"],
)
def test_health_metrics_have_the_values_of_the_relation(
    sql: str, name: str, state: str, status: int, own_copy: Store, command: Command
) -> None:
    change(own_copy, sql)
    row = json.loads(command("health", "--format", "json").out)[0]
    ran = command("health", "--format", "prometheus")
    assert (ran.status, ran.err) == (status, "")
    metrics = list(text_string_to_metric_families(ran.out))
    assert [metric.name for metric in metrics if not metric.documentation or metric.type != "gauge"] == []
    found = {
        (each.name.removeprefix("attachment_alerts_"), each.labels.get("state")): each
        for m in metrics
        for each in m.samples
    }
    assert found["health_status", None].value == status
    assert [key[1] for key, each in found.items() if key[0] == "connector_state" and each.value] == [state]
    assert found["connector_alerts_24h", None].value == row["alerts_24h"]
    success = datetime.fromisoformat(row["last_success_at"]).timestamp()
    assert found["connector_last_success_timestamp_seconds", None].value == success
    assert found["connector_gaps", None].labels == {"connector": name, "tenant": "default", "product": "mimecast"}
    assert ("connector_key_expiry_timestamp_seconds", None) not in found


def test_health_of_two_connectors_exits_with_the_worse_status(own_copy: Store, command: Command) -> None:
    change(own_copy, OTHER)
    assert command("health").status == 1
    change(own_copy, FAILING)
    assert command("health").status == 2
