"""The commands that change stored data: previewed first, made once."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.run import summary
from flows.console.terminal import out
from tasks.ingest.run_stats import NOT_STORED
from tasks.settings import DEFAULTS
from tasks.store.store import Store
from tests.flows.cli.command import Command
from tests.flows.conftest import MakeSite
from tests.flows.site import noon
from tests.flows.site import scan as record
from tests.scans import HOUR, begun, load, reject, rows, scan, source


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def store(home: Path) -> Store:
    store = begun(home)
    load(store, [[scan(0), scan(20), scan(40), scan(41, "safe")]])
    store.publish()
    return store


def test_regroup_is_previewed_then_made_once(command: Command, store: Store) -> None:
    call = ("regroup", "--gap-hours", "10")
    shown = command(*call)
    assert (shown.status, "1 → 3" in shown.out) == (0, True)
    assert "ATTACHMENT_ALERTS_GROUP_GAP_HOURS=10" in shown.out
    assert "Nothing was changed" in shown.err
    refused = command(*call, "--apply")
    assert (refused.status, "--yes" in refused.err) == (1, True)
    done = json.loads(command(*call, "--apply", "--yes", "--json").out)
    assert (done["applied"], done["groups_after"]) == (True, 3)
    assert "nothing to change" in command(*call, "--apply").err
    with store.reader() as reader:
        assert reader.rows("SELECT count(*) FROM alert_groups") == [(3,)]
    notices = "SELECT count(*), count(sent_at) FROM internal.notices WHERE cause = 'regroup'"
    assert rows(store, notices) == [(2, 0)]  # the next run sends them


@pytest.mark.parametrize(
    "call",
    [
        "alerts", "group d0fb", "triage d0fb --status in_progress", "triage --priority high --status in_progress",
        "allow-list list", "allow-list add sender a@b.example --reason x --yes", "allow-list remove d0fb",
        "regroup", "replay", "retention --apply --yes",
    ],
)  # fmt: skip
def test_mistyped_home_is_refused_and_not_created(call: str, tmp_path: Path, command: Command) -> None:
    result = command(*call.split(), "--home", str(tmp_path / "mistyped"))
    assert (result.status, result.out) == (1, "")
    assert "--home" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
def test_replay_applies_maps_with_the_setting_of_the_connector(make_site: MakeSite, command: Command) -> None:
    records = [
        record(noon() - HOUR, 1, "safe"),
        record(noon() - HOUR, 2, "timeout"),
        record(noon() - HOUR, 3, date="x"),
    ]
    site = make_site(records, no_verdict="low")
    assert site.poll().is_completed()
    assert site.query("SELECT count(*) FROM alerts") == [(0,)]
    assert "nothing to change" in command("replay").err
    (site.home / "priorities.csv").write_text(
        (DEFAULTS / "priorities.csv").read_text().replace("safe,low,Safe attachment", "safe,medium,Not safe here")
    )
    shown = command("replay", "priorities")
    assert (shown.status, "Not safe here" in shown.out) == (0, True)
    done = json.loads(command("replay", "--apply", "--yes", "--json").out)
    assert (done["alerts_raised"], done["rejects_left"], done["scans_changed"]) == (1, 1, 1)
    assert site.query("SELECT sub_classification FROM alerts") == [("Not safe here",)]
    assert "nothing to change" in command("replay", "--apply").err


REPLAY_WITHOUT_PREFECT = """
import sys
from flows.cli.app import main
try:
    main(["replay", "--json"])
except SystemExit as end:
    assert not end.code, end.code
assert "prefect" not in sys.modules
"""


def test_replay_of_rejects_and_scans_without_verdict_never_loads_prefect(home: Path) -> None:
    connector = source()._replace(product="mimecast", no_verdict="low")
    store = begun(home, connector)
    load(store, [[scan(0), scan(1, "timeout")]], connector, rejects=[reject("1")])
    store.publish()
    code = [sys.executable, "-c", REPLAY_WITHOUT_PREFECT]
    result = subprocess.run(code, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)
    assert (counts["rejects_left"], counts["alerts_cleared"]) == (1, 1)


@pytest.mark.server
def test_retention_is_previewed_then_made_and_a_backfill_of_older_time_prints_a_notice(
    make_site: MakeSite, command: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at = noon() - 3 * HOUR * 24
    site = make_site([record(at, 1, "safe"), record(at, 2), record(noon() - HOUR, 3, "safe")])
    assert site.backfill(at - HOUR, noon()).is_completed()
    assert site.query("SELECT count(*) FROM scans") == [(3,)]
    monkeypatch.setenv("ATTACHMENT_ALERTS_RETENTION_LOW_DAYS", "2")
    shown = command("retention")
    assert (shown.status, "Nothing was changed" in shown.err) == (0, True)
    done = json.loads(command("retention", "--apply", "--yes", "--json").out)
    assert done["removed"]["low scans"] == 1
    assert "nothing to change" in command("retention", "--apply").err
    for name, days in (("LOW_RAW", 1), ("ALERT_RAW", 3), ("CLOSED", 3)):
        monkeypatch.setenv(f"ATTACHMENT_ALERTS_RETENTION_{name}_DAYS", str(days))
    with caplog.at_level("INFO", "attachment_alerts.pull"):
        state = site.backfill(at - HOUR, at + HOUR, "everything")
    assert state.is_completed()
    counts = state.result()
    assert (counts["accepted"], counts["duplicates"], counts["expired"]) == (2, 1, 1)
    sentence = f"1 {NOT_STORED}"
    assert sentence in (state.message or "")
    assert sentence in caplog.text
    with out.capture() as shown:
        out.print(summary(counts, None))
    assert sentence in " ".join(shown.get().split())
    (note,) = [line.getMessage() for line in caplog.records if "are stored" in line.getMessage()]
    limits = re.findall(r"\((\d+) days, ATTACHMENT_ALERTS_RETENTION_(\w+)_DAYS\)", note)
    assert limits == [("3", "ALERT_RAW"), ("2", "LOW"), ("3", "CLOSED")]
    assert site.stored("SELECT count(*) FROM scans") == [(2,)]
    stored_counts = (
        "SELECT received, accepted, new, changed, duplicates, expired FROM windows ORDER BY started_at DESC LIMIT 1"
    )
    assert site.stored(stored_counts) == [(2, 2, 0, 0, 1, 1)]
    monkeypatch.setenv("ATTACHMENT_ALERTS_KEEP_LOW", "full")
    with caplog.at_level("INFO", "attachment_alerts.pull"):
        assert site.backfill(noon() - 49 * HOUR, noon() - 48 * HOUR, "everything").is_completed()
    assert "(1 days, ATTACHMENT_ALERTS_RETENTION_LOW_RAW_DAYS)" in caplog.text
