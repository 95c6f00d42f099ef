"""Decisions and the allow-list by command and by form: both do what the functions of `tasks/triage/` do."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.artifacts.dashboard_writer import URGENT
from flows.regroup import regroup
from flows.triage import allow_list_flow, triage
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.flows.artifacts.test_run_summary import artifacts, text
from tests.flows.cli.command import NARROW, WIDE, Command
from tests.scans import HASH, KEEP_ALL, begun, load, rows, scan

LOW = scan(1, "safe", recipient="bob@contoso.example")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups: one of a dangerous file that somebody also got without an alert, one of an undecided file."""
    store = begun(tmp_path_factory.mktemp("loaded"))
    load(store, [[scan(0), scan(0.5, sender="x@good.example"), LOW, scan(1, "timeout", file_sha256="cd" * 32)]])
    store.publish()
    return store.settings.home


@pytest.fixture
def store(loaded: Path, home: Path) -> Store:
    """A copy for each test."""
    return open_store(Settings(home=shutil.copytree(loaded, home, dirs_exist_ok=True), **KEEP_ALL))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def listed(command: Command, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("alerts", "--json", *more).out)
    return found


def test_triage_from_new_to_closed_and_reopened(store: Store, command: Command) -> None:
    high, medium = (each["group_id"] for each in listed(command))
    says = command("triage", high[:8], "--status", "in_progress", "--assignee", "zoe\x1b[2J", "--by", "ann")
    assert (says.status, says.err.strip()) == (0, "2 alerts of 1 group: in progress.")
    for command.width in (NARROW, WIDE):
        shown = command("alerts").out
        assert "in progress" in shown
        assert r"zoe\x1b[2J" in shown
    decided = command(
        "triage", high, medium, "--status", "closed", "--reason", "true_positive", "--comment", "=cmd", "--json"
    )
    assert json.loads(decided.out)["groups"] == [high, medium]
    assert listed(command) == []
    assert "0 of 2 groups · 1 high · 1 medium · 2 closed (--status all)" in command("alerts").out
    assert [each["group_id"] for each in listed(command, "--status", "closed")] == [high, medium]
    load(store, [[scan(0.7)]])
    store.publish()
    assert [each["status"] for each in listed(command)] == ["new"]
    assert "re-opened" in command("alerts").out
    page = command("group", high).out
    assert "by new alert" in page
    assert all(words in page for words in ("closed as true positive", "=cmd", "ann", "1 recipient of this file"))


def test_filter_shows_count_and_asks_for_confirmation(store: Store, command: Command) -> None:
    choice = ("triage", "--sender-domain", "good.example", "--status", "closed", "--reason", "benign")
    says = command(*choice)
    assert says.status == 1
    assert "1 alert of 1 group to closed as benign?" in says.err
    assert rows(store, "SELECT * FROM triage_log") == []
    assert command(*choice, "--yes").err.strip() == "1 alert of 1 group: closed as benign."
    older = command("triage", "--older-than", "1d", "--status", "closed", "--reason", "benign", "--yes", "--json")
    assert json.loads(older.out)["alerts"] == 2


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (["triage", "zz", "--status", "closed", "--reason", "benign"], "'zz'"),
        (["triage", "--status", "new"], "filter"),
        (["triage", "zz", "--priority", "high", "--status", "new"], "filters"),
        (["triage", "--priority", "high", "--status", "closed"], "true_positive"),
        (["triage", "--hash", "ee" * 32, "--status", "in_progress", "--yes"], "filters"),
        (["allow-list", "add", "hash", "x", "--reason", "y"], "hash 'x'"),
        (["allow-list", "add", "sender", "a@b", "--reason", "y", "--expires", "soon"], "'soon'"),
        (["allow-list", "remove", "zz"], "'zz'"),
    ],
)
def test_invalid_call_is_one_line_that_names_the_value(
    call: list[str], named: str, store: Store, command: Command
) -> None:
    says = command(*call)
    assert (says.status, says.out, says.err.count("\n")) == (1, "", 1)
    assert named in says.err


def test_allow_list_add_list_remove(store: Store, command: Command) -> None:
    add = ("allow-list", "add", "sender_domain", "good.example", "--reason", "our \x1b newsletter", "--expires", "30d")
    assert "1 stored alert and 0 whole groups" in command(*add).err
    assert command("allow-list", "list").err.strip() == "The allow-list is empty."
    entry = json.loads(command(*add, "--yes", "--json").out)
    assert (entry["alerts"], entry["groups"]) == (1, 0)
    for command.width in (NARROW, WIDE):
        table = command("allow-list", "list").out
        assert entry["entry_id"][:8] in table
        assert r"our \x1b" in table
    expires_at = datetime.fromisoformat(json.loads(command("allow-list", "list", "--json").out)[0]["expires_at"])
    assert timedelta(days=29) < expires_at - datetime.now(UTC) <= timedelta(days=30)
    assert "1 alert hidden by the allow-list" in command("alerts").out
    assert "1 more alert hidden by the allow-list" in command("group", listed(command)[0]["group_id"]).out
    assert command("allow-list", "remove", entry["entry_id"][:6]).err.strip() == "1 entry removed; 1 alert shown again."
    assert json.loads(command("allow-list", "list", "--json").out) == []
    assert [each["active"] for each in json.loads(command("allow-list", "list", "--all", "--json").out)] == [False]
    assert "ended" in command("allow-list", "list", "--all").out


def test_hidden_group_is_reported_as_hidden(store: Store, command: Command) -> None:
    group_id = next(each["group_id"] for each in listed(command) if each["file_sha256"] == "cd" * 32)
    command("allow-list", "add", "hash", "cd" * 32, "--reason", "ours", "--expires", "30d", "--yes")
    says = command("group", group_id[:8])
    assert (says.status, says.out) == (1, "")
    assert f"group {group_id} is hidden by the allow-list" in says.err


@pytest.mark.server
def test_triage_flow_counts_then_decides(prefect_api: None, store: Store) -> None:
    properties: dict[str, Any] = triage.parameters.properties
    assert properties["status"]["enum"] == ["in_progress", "closed", "new"]
    assert properties["close_reason"]["enum"] == ["none", "true_positive", "false_positive", "benign", "duplicate"]
    assert all(each["description"] for each in properties.values())
    counted = triage("ann", "closed", "benign", priority="high", return_state=True)
    assert counted.name == "Counted"
    assert counted.result() == {"alerts": 2, "groups": 1}
    assert rows(store, "SELECT * FROM triage_log") == []
    load(store, [[scan(0.6, recipient="dan@contoso.example")]])
    other = triage("ann", "closed", "benign", priority="high", confirm=2, return_state=True)
    assert other.is_failed()
    assert rows(store, "SELECT * FROM triage_log") == []
    done = triage("ann", "closed", "benign", priority="high", confirm=3, return_state=True)
    assert (done.result()["alerts"], len(done.result()["groups"])) == (3, 1)
    medium = rows(store, "SELECT group_id::VARCHAR FROM alert_groups WHERE priority = 'medium'")[0][0]
    done = triage("bob", "in_progress", groups=f" {medium[:8]},{medium}", assignee="bob", return_state=True)
    assert (done.result()["alerts"], len(done.result()["groups"])) == (1, 1)
    refused = triage("bob", "closed", groups=medium, return_state=True)
    assert refused.is_failed()
    with store.reader() as reader:
        told = reader.rows('SELECT DISTINCT status, assignee, "by" FROM triage_log ORDER BY ALL')
    assert told == [("closed", None, "ann"), ("in_progress", "bob", "bob")]


@pytest.mark.server
def test_invalid_setting_fails_the_run_by_name(
    prefect_api: None, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_RETENTION_LOW_DAYS", "soon")
    for state in (
        triage("ann", "closed", "benign", priority="high", return_state=True),
        allow_list_flow("ann", "add", "sender", "x@good.example", "known", return_state=True),
    ):
        assert state.is_failed()
        assert "ATTACHMENT_ALERTS_RETENTION_LOW_DAYS" in str(state.message)


@pytest.mark.server
def test_allow_list_flow_counts_adds_removes(prefect_api: None, store: Store) -> None:
    entry: dict[str, Any] = {"author": "ann", "kind": "sender", "value": "x@good.example", "reason": "known"}
    counted = allow_list_flow(action="add", **entry, return_state=True)
    assert (counted.name, counted.result()) == ("Counted", {"alerts": 1, "groups": 0})
    assert allow_list_flow(action="add", **entry, confirm=True, return_state=True).is_completed()
    again = allow_list_flow(action="add", **entry, confirm=True, return_state=True)
    assert again.is_failed()
    removed = allow_list_flow(action="remove", **entry, return_state=True)
    assert removed.result()["shown_again"] == 1
    assert allow_list_flow(action="remove", **entry, return_state=True).is_failed()


@pytest.mark.server
def test_urgent_dashboard_is_refreshed_after_each_change(prefect_api: None, store: Store) -> None:
    (high,) = rows(store, "SELECT group_id::VARCHAR FROM alert_groups WHERE priority = 'high'")[0]
    taken = text(artifacts(triage("ann", "in_progress", groups=high, return_state=True))[URGENT])
    assert taken.startswith("## 1 open group of high priority") and high[:8] in taken
    entry: dict[str, Any] = {"author": "ann", "kind": "hash", "value": HASH, "reason": "known", "confirm": True}
    none = "## No open group of high priority"
    assert text(artifacts(allow_list_flow(action="add", **entry, return_state=True))[URGENT]).startswith(none)
    shown = text(artifacts(allow_list_flow(action="remove", **entry, return_state=True))[URGENT])
    assert shown.startswith("## 1 open group")
    assert text(artifacts(regroup("hash", 0, 0, apply=True, return_state=True))[URGENT]).startswith("## 1 open group")
    assert URGENT not in artifacts(regroup("hash", 0, 0, return_state=True))
    closed = text(artifacts(triage("ann", "closed", "benign", groups=high, return_state=True))[URGENT])
    assert closed.startswith(none) and high[:8] not in closed
