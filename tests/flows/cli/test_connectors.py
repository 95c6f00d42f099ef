"""Connectors, connection test, poll and backfill from the terminal, against a Prefect API and a simulated service."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli.connectors import NONE_SAVED
from tasks.ingest.connector_source import source_of
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import load_connector, remove, saved_names
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store
from tests.flows.cli.command import NARROWEST, Command, Ran
from tests.flows.site import change, save, scan
from tests.scans import content, load, rows
from tests.scans import scan as stored_scan
from tests.simulator import Account, Running, Simulator, World, serve, v1_keys, v2_keys

pytestmark = pytest.mark.server

NOW = datetime.now(UTC)
RECORDS = [scan(NOW - timedelta(hours=hour), hour, "safe" if hour % 3 else "malicious") for hour in range(1, 10)]
HIDDEN_FROM_GET_ACCOUNT = 3
SECRETS = [secret for number in (1, 2, 3) for secret in (
    v2_keys(number)["client_secret"], v1_keys(number)["application_key"], v1_keys(number)["secret_key"],
)]  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """Three accounts; the third has no permission to read its account code."""
    accounts = tuple(Account.numbered(n, may_read_account=n != HIDDEN_FROM_GET_ACCOUNT) for n in (1, 2, 3))
    with serve(Simulator(World.of_records(RECORDS), accounts=accounts)) as running:
        yield running


@pytest.fixture
def command(
    prefect_api: None, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The command with its own home and Prefect API, and an empty stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    yield Command(capsys)
    for name in saved_names():
        remove(name)


def with_keys(monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> None:
    """These secrets, and no others, in the environment."""
    for name in (*v1_keys(1), *v2_keys(1)):
        monkeypatch.delenv(f"ATTACHMENT_ALERTS_{name.upper()}", raising=False)
    for name, value in keys.items():
        monkeypatch.setenv(f"ATTACHMENT_ALERTS_{name.upper()}", value)


@pytest.fixture
def saved(command: Command, service: Running, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Account 1, added as `acme`."""
    with_keys(monkeypatch, {"client_secret": v2_keys(1)["client_secret"]})
    service.simulator.faults.clear()
    client = v2_keys(1)["client_id"]
    return command("connectors", "add", "acme", "--client-id", client, *address(service), "--first-look-back-days", "1")


def by_itself(*arguments: str) -> Ran:
    """The command in its own process: with the output of Python at its end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
    call = [sys.executable, "-m", "flows", *arguments]
    done = subprocess.run(call, cwd=CHECKOUT, env=own, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def address(service: Running) -> tuple[str, ...]:
    return "--base-url", service.url, "--allow-other-host"


def kept(name: str) -> MimecastConnector:
    connector = load_connector(name)
    assert isinstance(connector, MimecastConnector)
    return connector


@pytest.fixture(autouse=True)
def output_has_no_secret(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No output of any test here shows a secret."""
    plain_call = Command.__call__

    def watched(self: Command, *arguments: str) -> Ran:
        says = plain_call(self, *arguments)
        assert [secret for secret in SECRETS if secret in says.out + says.err] == []
        return says

    monkeypatch.setattr(Command, "__call__", watched)


@pytest.mark.parametrize("name", ["add", "set", "rotate"])
def test_options_are_the_fields_of_the_form(name: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(NARROWEST))
    says = command("connectors", name, "--help")
    assert (says.status, "…" in says.out) == (0, False)
    for product in ("entra: Only for a simulator", "mimecast: Only if"):
        assert product in re.sub(r"[\s│]+", " ", says.out)
    assert ("--detection-details-url" in says.out) == (name != "rotate")
    for option in ("--home", "--region", "--base-url", "--key-expires-at"):
        assert option in says.out
    for option in ("--client-id", "--application-id", "--directory-id"):
        assert (option in says.out) == (name != "set")
    assert ("--page-size" in says.out) == (name != "rotate")
    assert not re.search(r"--(client-secret|application-key|access-key|secret-key|connector-id)", says.out)
    assert ("ATTACHMENT_ALERTS_CLIENT_SECRET" in says.out) == (name != "set")
    assert f"attachment-alerts connectors {name} acme" in says.out


def test_add_tests_the_connection_and_show_hides_secrets(saved: Ran, command: Command) -> None:
    assert saved.status == 0
    assert re.search(r"✔ +account +Contoso 1 \(simulated\) \(CSIM1A1\)", saved.out)
    assert "the Prefect API at http://" in saved.err
    connector = kept("acme")
    assert (connector.account_code, connector.first_look_back_days) == ("CSIM1A1", 1)
    assert connector.client_secret.get_secret_value() == v2_keys(1)["client_secret"]
    shown = command("connectors", "show", "acme")
    assert shown.status == 0
    assert "********" in shown.out
    assert "set automatically" not in shown.out
    assert re.search(r"^ *Name +acme *$", shown.out, re.MULTILINE)
    assert re.search(r"Tested at +\d{4}-\d\d-\d\d \d\d:\d\d UTC *$", shown.out, re.MULTILINE)
    rows = json.loads(command("connectors", "list", "--json").out)
    assert [(row["name"], row["product"], row["account_code"]) for row in rows] == [("acme", "mimecast", "CSIM1A1")]
    assert rows[0]["client_secret"] == "********"
    assert "acme" in command("connectors", "list").out
    command.width = NARROWEST
    narrow = command("connectors", "list").out
    for whole in ("acme", "15 min", "mimecast", "127.0.0.1", "CSIM1A1", "Polling", "Keys expire"):
        assert whole in narrow


def test_add_of_an_existing_name_or_account_is_refused(
    saved: Ran, command: Command, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(service.simulator.requests)
    again = command("connectors", "add", "acme", "--client-id", "x", *address(service))
    assert (again.status, "'acme'" in again.err) == (1, True)
    assert len(service.simulator.requests) == asked
    with_keys(monkeypatch, v1_keys(1))
    second = command("connectors", "add", "other", "--api", "1.0", "--region", "eu", *address(service))
    assert (second.status, "'acme'" in second.err) == (1, True)
    assert list(saved_names()) == ["acme"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--client-id", "nobody"), "connection test failed"),
        (("--polling-minutes", "7", "--no-test"), "Polling frequency (minutes)"),
        (("--no-allow-other-host", "--no-test"), "--allow-other-host"),
        (("--detection-details-url", "javascript:1", "--no-test"), "Link to detection details"),
        (("--product", "paper"), "'paper'"),
        (("--api", "1.0", "--region", "eu"), "ATTACHMENT_ALERTS_APPLICATION_ID"),
    ],
)
def test_add_with_failed_test_or_invalid_value_saves_nothing(
    options: tuple[str, ...], named: str, command: Command, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, {"client_secret": v2_keys(1)["client_secret"]})
    says = command("connectors", "add", "acme", "--client-id", "simulated-client-1", *address(service), *options)
    assert says.status == 1
    assert named in says.err
    assert "connectors rotate" not in says.out + says.err, "nothing is saved whose keys could be rotated"
    assert "acme" not in saved_names()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("Acme",), "'Acme'"),
        (("poll",), "'poll'"),
        (("acme", "--api", "1.0"), "API 1.0 has no region global"),
        (("acme", "--page-size", "many"), "Page size"),
        (("acme", "--product", "entra", "--directory-id", "x", "--client-id", "y"), "Directory (tenant) id"),
    ],
)
def test_add_with_invalid_option_fails_before_it_prompts_for_keys(
    given: tuple[str, ...], named: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, {})
    says = command("connectors", "add", *given)
    assert (says.status, named in says.err, "no terminal can prompt" in says.err) == (1, True, False), says.err
    assert not saved_names()


def test_set_changes_fields_without_a_request(saved: Ran, command: Command, service: Running, home: Path) -> None:
    before, asked = kept("acme"), len(service.simulator.requests)
    link = "https://siem.example/?hash={file_sha256}"
    says = command("connectors", "set", "acme", "--polling-minutes", "30", "--detection-details-url", link)
    assert says.status == 0, says.err
    after = kept("acme")
    assert (after.polling_minutes, after.detection_details_url) == (30, link)
    different = {"polling_minutes", "detection_details_url"}
    assert after.model_dump(exclude=different) == before.model_dump(exclude=different)
    with open_store(Settings(home=home)).transaction() as transaction:
        (every,) = transaction.rows("SELECT polling_minutes FROM internal.connectors")
    assert every == (30,)
    assert command("connectors", "set", "acme", "--detection-details-url", "").status == 0
    assert kept("acme").detection_details_url == ""
    assert len(service.simulator.requests) == asked


def test_set_of_an_address_is_saved_after_a_successful_test(saved: Ran, command: Command, service: Running) -> None:
    nowhere = command("connectors", "set", "acme", "--base-url", "http://127.0.0.1:9")
    assert nowhere.status == 1
    assert kept("acme").url == service.url
    same = service.url.replace("127.0.0.1", "localhost")
    assert command("connectors", "set", "acme", "--base-url", same).status == 0
    assert kept("acme").url == same


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "--help"),
        (("--polling-minutes", "15"), "--help"),
        (("--polling-minutes", "7"), "Polling frequency (minutes)"),
        (("--api", "1.0"), "Application id (API 1.0), Application key"),
        (("--cloud", "china"), "--cloud"),
    ],
)
def test_set_without_a_change_or_with_an_invalid_value_saves_nothing(
    options: tuple[str, ...], named: str, saved: Ran, command: Command
) -> None:
    before = kept("acme")
    says = command("connectors", "set", "acme", *options)
    assert (says.status, named in says.err) == (1, True), says.err
    assert kept("acme").model_dump() == before.model_dump()


def test_connection_test_exits_with_1_and_a_next_step(saved: Ran, command: Command, service: Running) -> None:
    good = command("test-connection", "acme", "--json")
    assert (good.status, json.loads(good.out)["passed"]) == (0, True)
    service.simulator.faults.inject("403", times=None)
    bad = command("test-connection", "acme")
    service.simulator.faults.clear()
    assert bad.status == 1
    assert re.search(r"✘ +permission .*may not", bad.out)
    assert "→ Grant Monitoring | Attachment Protection | Read" in bad.out


def test_connection_test_saves_the_account_of_an_untested_connector(
    command: Command, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, v2_keys(2))
    assert command("connectors", "add", "later", *address(service), "--no-test").status == 0
    assert kept("later").account_code is None
    assert command("test-connection", "later").status == 0
    assert kept("later").account_code == "CSIM2A2"


def test_rotate_to_another_api_generation(saved: Ran, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept("acme")
    with_keys(monkeypatch, v1_keys(1))
    says = command("connectors", "rotate", "acme", "--api", "1.0", "--region", "eu", "--key-expires-at", "2031-05-06")
    assert says.status == 0, says.err
    after = kept("acme")
    assert (after.api, after.client_id, after.connector_id) == ("1.0", "", before.connector_id)
    assert after.secret_key.get_secret_value() == v1_keys(1)["secret_key"]
    assert "2031-05-06" in command("connectors", "list").out


def test_rotate_to_another_account_is_refused(saved: Ran, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys(monkeypatch, v2_keys(2))
    for force in ((), ("--force",)):
        says = command("connectors", "rotate", "acme", *force)
        assert says.status == 1
        assert "These keys belong to Contoso 2 (simulated) (CSIM2A2)" in says.out
    with_keys(monkeypatch, {**v2_keys(1), "client_secret": "wrong"})
    wrong = command("connectors", "rotate", "acme")
    assert (wrong.status, "connectors rotate acme`" in " ".join(wrong.out.split())) == (1, True)
    assert kept("acme").client_secret.get_secret_value() == v2_keys(1)["client_secret"]


def test_rotate_without_an_account_code_needs_force(
    saved: Ran, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, v2_keys(3))
    says = command("connectors", "rotate", "acme")
    assert (says.status, "--force" in says.err) == (1, True)
    assert kept("acme").client_id == v2_keys(1)["client_id"]
    assert command("connectors", "rotate", "acme", "--force").status == 0
    assert (kept("acme").client_id, kept("acme").account_code) == (v2_keys(3)["client_id"], "CSIM1A1")


def test_rotate_the_secret_of_the_same_application_needs_no_code(
    command: Command, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, v2_keys(3))
    assert command("connectors", "add", "shy", *address(service)).status == 0
    assert command("connectors", "rotate", "shy").status == 0


def test_poll_backfill_and_health(saved: Ran, command: Command, home: Path) -> None:
    first = command("poll", "acme")
    assert first.status == 0, first.err
    for words in (
        r"received +9 ",
        r"9 new · 0 changed · 0 duplicates",
        r"hidden as low +6",
        r"alerts +3 +3 high",
        r"1 high +in total",
    ):
        assert re.search(words, first.out), words
    slices = re.findall(r"poll .*: (\d+) received", first.err)  # one, or two when run in the first hours of a day
    assert sum(map(int, slices)) == len(RECORDS)
    again = json.loads(command("poll", "acme", "--json").out)
    assert (again["state"], again["new"], again["received"]) == ("Completed", 0, again["duplicates"])
    edges = "--from", f"{NOW - timedelta(hours=5):%Y-%m-%dT%H:%M}", "--to", f"{NOW - timedelta(hours=1):%Y-%m-%d %H:%M}"
    covered = command("backfill", "acme", *edges)
    assert (covered.status, "Nothing to fetch" in covered.err) == (0, True)
    everything = json.loads(command("backfill", "acme", *edges, "--what", "everything", "--json").out)
    assert everything["received"] == everything["duplicates"] > 0
    health = command("health")
    assert (health.status, "acme" in health.out) == (0, True)


def test_failed_poll_exits_with_1_and_the_reason(saved: Ran, command: Command, service: Running) -> None:
    service.simulator.faults.inject("403", times=None)
    says = by_itself("poll", "acme")
    counts = json.loads(command("poll", "acme", "--json").out)
    health = command("health")
    command.width = NARROWEST
    listed = command("connectors", "list").out
    service.simulator.faults.clear()
    assert (says.status, says.out) == (1, "")
    assert says.err.splitlines()[-1].startswith("✘ ")
    assert not re.search("Traceback|nanobind", says.err)
    assert (counts["state"], counts["failed"] > 0) == ("Failed", True)
    assert (health.status, "auth failed" in health.out) == (2, True)
    assert [words for words in ("acme", "auth failed", "15 min") if words not in listed] == []


def test_expired_keys_are_reported_once_with_a_next_step(
    saved: Ran, command: Command, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys(monkeypatch, v1_keys(1))
    assert command("connectors", "rotate", "acme", "--api", "1.0", "--region", "eu").status == 0
    service.simulator.faults.inject("418", times=None)
    says = command("poll", "acme")
    service.simulator.faults.clear()
    assert (says.status, says.err.count("has expired")) == (1, 1), says.err
    assert "`attachment-alerts connectors rotate acme`" in says.err


def test_unknown_name_exits_with_1(command: Command) -> None:
    calls = [["poll", "nobody"], ["backfill", "nobody", "--from", "2026-01-01", "--to", "2026-01-02"]]
    calls += [["connectors", what, "nobody"] for what in ("show", "set", "rotate", "remove")]
    calls += [["connectors", "rename", "nobody", "somebody"], ["test-connection", "nobody"]]
    for call in calls:
        says = command(*call)
        assert (says.status, says.out) == (1, "")
        assert "'nobody' in the Prefect API at http://" in says.err


def test_rename_changes_the_tables(saved: Ran, command: Command, home: Path) -> None:
    assert command("connectors", "rename", "acme", "acme-emea").status == 0
    health = command("health")
    assert (health.status, "acme-emea" in health.out, "never run" in health.out) == (1, True, True)
    assert command("poll", "acme-emea").status == 0
    assert command("connectors", "rename", "acme-emea", "acme").status == 0
    assert '"acme"' in command("health", "--json").out
    assert kept("acme").account_code == "CSIM1A1"


def test_remove_prompts_and_keeps_the_data(saved: Ran, command: Command, home: Path) -> None:
    assert command("poll", "acme").status == 0
    asked = command("connectors", "remove", "acme")
    assert (asked.status, "--yes" in asked.err) == (1, True)
    assert re.search(r"alerts +3\n", asked.out)
    assert list(saved_names()) == ["acme"]
    assert command("connectors", "remove", "acme", "--yes").status == 0
    assert list(saved_names()) == []
    assert len(json.loads(command("alerts", "--json").out)) == 1
    assert json.loads(command("health", "--json").out) == []


def test_remove_with_purge_deletes_the_data(saved: Ran, command: Command, home: Path) -> None:
    assert command("poll", "acme").status == 0
    assert command("connectors", "remove", "acme", "--purge", "--yes").status == 0
    assert json.loads(command("alerts", "--json").out) == []
    with open_store(Settings(home=home)).reader() as reader:
        assert reader.rows("SELECT count(*) FROM scans") == [(0,)]


def test_connector_with_data_cannot_change_its_tenant(
    saved: Ran, command: Command, service: Running, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("connectors", "set", "acme", "--tenant", "other").status == 0  # nothing is stored yet
    store = open_store(Settings(home=home))
    load(store, [[stored_scan()]], source_of("acme", kept("acme")))
    before, asked = content(store), len(service.simulator.requests)
    sentence = "'acme' has records of the tenant 'other'"
    says = command("connectors", "set", "acme", "--tenant", "default")
    assert (says.status, sentence in says.err, kept("acme").tenant) == (1, True, "other")
    assert "`attachment-alerts connectors set acme --tenant other`" in says.err
    change("acme", tenant="default")  # in the UI, which does not check it
    with_keys(monkeypatch, v2_keys(1))
    for call in (["connectors", "rotate", "acme"], ["test-connection", "acme"]):
        says = command(*call)
        assert (says.status, sentence in says.err) == (1, True)
    assert len(service.simulator.requests) == asked
    for call in (["list"], ["show", "acme"]):
        assert sentence in command("connectors", *call).out
        assert sentence in command("connectors", *call, "--json").out
    says = command("connectors", "apply")
    assert (sentence in says.out, NONE_SAVED in says.err) == (True, False)
    assert sentence in json.loads(command("connectors", "apply", "--json").out)[0]["unusable"]
    says = command("poll", "acme")
    assert (says.status, sentence in says.err) == (1, True)
    (health,) = json.loads(command("health", "--json").out)
    assert (health["state"], health["tenant"], sentence in health["last_error"]) == ("failing", "other", True)
    assert content(store) == before
    assert command("connectors", "set", "acme", "--tenant", "other").status == 0


def spoil(name: str) -> None:
    """The form in the UI sends null for a secret that was cleared."""
    connector = kept(name)
    connector.client_secret = None  # type: ignore[assignment]
    save(name, connector)


def test_connector_made_invalid_in_the_ui_is_reported_by_every_command(saved: Ran, command: Command) -> None:
    spoil("acme")
    named = "Client secret (API 2.0)"
    assert named in command("connectors", "list").out
    (row,) = json.loads(command("connectors", "list", "--json").out)
    assert (row["name"], named in row["unusable"]) == ("acme", True)
    for call in (["show"], ["set", "--polling-minutes", "30"], ["rotate"]):
        says = command("connectors", call[0], "acme", *call[1:])
        assert (says.status, named in says.err) == (1, True), says.err


def test_remove_with_purge_of_a_deleted_connector_without_data(saved: Ran, command: Command) -> None:
    MimecastConnector.delete("acme")
    assert '"never_run"' in command("health", "--json").out
    assert command("connectors", "remove", "acme", "--purge", "--yes").status == 0
    assert json.loads(command("health", "--json").out) == []


@pytest.mark.parametrize("how", [spoil, MimecastConnector.delete])
def test_remove_with_purge_deletes_the_data_of_an_unusable_or_deleted_connector(
    how: Callable[[str], Any], saved: Ran, command: Command, home: Path
) -> None:
    store = open_store(Settings(home=home))
    load(store, [[stored_scan()]], source_of("acme", kept("acme")))
    how("acme")
    without_purge = command("connectors", "remove", "acme", *(["--yes"] if how != spoil else []))
    assert (without_purge.status, ("--yes" if how == spoil else "--purge") in without_purge.err) == (1, True)
    assert rows(store, "SELECT count(*) FROM scans") == [(1,)]
    says = command("connectors", "remove", "acme", "--purge", "--yes")
    assert says.status == 0, says.err
    assert re.search(r"alerts +1\n", says.out)
    assert list(saved_names()) == []
    assert rows(store, "SELECT count(*) FROM scans") == [(0,)]
    assert json.loads(command("health", "--json").out) == []
    assert command("connectors", "remove", "acme", "--purge", "--yes").status == 1


def test_prompts_hide_secrets(command: Command, service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return v2_keys(1)["client_id"] + "\n"

    hidden = []

    def getpass(prompt: str) -> str:
        hidden.append(prompt)
        return v2_keys(1)["client_secret"]

    with_keys(monkeypatch, {})
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("flows.console.terminal.getpass", getpass)
    says = command("connectors", "add", "asked", *address(service))
    assert says.status == 0
    assert "Client id (API 2.0): " in says.err
    assert hidden == ["Client secret (API 2.0): "]
    assert kept("asked").client_secret.get_secret_value() == v2_keys(1)["client_secret"]
