"""Replay: other maps over stored scans, rejects that are records by now; what is shown is what is done, once."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.ingest.batches import Revalidated
from tasks.maintenance.remap import CurrentRules
from tasks.maintenance.replay import WHAT, ReplayOptions, apply_replay, plan_replay, run_replay
from tasks.notifications import outbox
from tasks.priority import load_maps
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tests.scans import KEEP_ALL, begun, content, frame, load, reject, rows, scan, source

BOB, CYD = "bob@contoso.example", "cyd@contoso.example"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that each test gets a copy of: an alert, one that was cleared, one without a verdict, three low scans."""
    store = begun(tmp_path_factory.mktemp("loaded"))
    load(store, [[scan(0), scan(1, "unsafe"), scan(2, "timeout"), scan(3, "safe"), scan(4, "clean", recipient=BOB)]])
    load(store, [[scan(1, "safe", read=1001), scan(5, "safe", response="release", recipient=CYD)]])
    store.publish()
    return store.settings.home


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Store:
    return open_store(Settings(home=shutil.copytree(loaded, tmp_path / "home"), **KEEP_ALL))


def options(
    store: Store, *what: Any, no_verdict: Any = "medium", known: bool = True, again: Any = None, **maps: str
) -> ReplayOptions:
    """Today's reading, with a site's own rows in the place of the defaults'."""
    for name, text in maps.items():
        default = (DEFAULTS / f"{name}.csv").read_text().splitlines()
        first = text.partition(",")[0]
        kept = [line for line in default if line.partition(",")[0] != first]
        (store.settings.home / f"{name}.csv").write_text("\n".join([*kept, text]) + "\n")
    chosen = frozenset(what or WHAT)
    reading = CurrentRules(load_maps(store.settings, no_verdict), frozenset(chosen - {"rejects"}), known)
    nothing = Revalidated(frame([]), pl.Series([], dtype=pl.String))
    return ReplayOptions(chosen, lambda _: reading, lambda _, bad: again(bad) if again else nothing)


def told(counts: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(each["said"], each["old"], each["new"], each["count"]) for each in counts["changes"]}


def test_the_same_maps_change_nothing(store: Store) -> None:
    before, revision = content(store), store.published_revision()
    assert run_replay(store, options(store), apply=True)["changes"] == []
    assert content(store) == before
    assert store.published_revision() == revision


def test_a_verdict_that_is_dangerous_by_now_raises_low_scans(store: Store) -> None:
    other = options(store, "priorities", priorities="clean,high,Clean but not here,true,own-clean")
    before = content(store)
    shown = run_replay(store, other, apply=False)
    assert told(shown) == {("clean", "low (Safe attachment, verdict-clean)", "high (Clean but not here, own-clean)", 1)}
    assert (shown["alerts_raised"], shown["alerts_cleared"], shown["scans_changed"]) == (1, 0, 1)
    assert content(store) == before
    assert told(run_replay(store, other, apply=True)) == told(shown)
    assert rows(store, "SELECT priority, verdict, subject FROM alerts WHERE recipient = $bob", bob=BOB) == [
        ("high", "clean", None)  # what was not kept comes with the next reading
    ]
    changes = rows(store, "SELECT field, old_value, new_value FROM scan_changes WHERE field = 'priority'")
    assert changes == [("priority", "low", "high")]
    with store.reader() as reader:
        assert reader.rows("SELECT sum(alert_count), any_value(exposure_count) FROM alert_groups") == [(4, 1)]
    done = content(store)
    assert run_replay(store, other, apply=True)["changes"] == []
    assert content(store) == done


def test_what_replay_raises_is_told_as_one_digest_and_reopens_what_was_decided(store: Store) -> None:
    load(store, [[scan(3, "timeout", file_sha256="cd" * 32), scan(3, "timeout", file_sha256="ef" * 32)]])
    (closed,) = rows(store, f"SELECT group_id::VARCHAR FROM alert_groups WHERE file_sha256 = '{'cd' * 32}'")[0]
    decide(store, Decision("closed", "ann", "benign"), groups=[closed])
    with store.transaction() as transaction:
        transaction.run("DELETE FROM internal.notices")
    run_replay(store, options(store, "priorities", priorities="timeout,high,Own,false,own"), apply=True)
    assert rows(store, f"SELECT priority, status, reopened_by FROM alert_groups WHERE group_id = '{closed}'") == [
        ("high", "new", "raised_priority")
    ]
    with store.transaction() as transaction:
        told = outbox.claim(transaction, outbox.NotificationSource(), store.settings, datetime.now(UTC))
    assert [(each.name, each.payload["causes"], each.payload["changes"]) for each in told] == [
        ("attachment-alerts.digest", {"replay": 3}, {"group_raised": 2, "group_reopened": 1})
    ]


def test_scans_that_stay_low_say_what_they_mean_today_and_nothing_else_changes(store: Store) -> None:
    columns = "* EXCLUDE (priority_rule, sub_classification, disposition, last_changed_at)"
    before, groups = rows(store, f"SELECT {columns} FROM scans ORDER BY ALL"), rows(store, "FROM internal.groups")
    other = options(store, priorities="clean,low,Harmless here,false,own", responses="release,delayed")
    assert told(run_replay(store, other, apply=True)) == {
        ("clean", "low (Safe attachment, verdict-clean)", "low (Harmless here, own)", 1),
        ("release", "released", "delayed", 1),
    }
    assert rows(store, f"SELECT {columns} FROM scans ORDER BY ALL") == before
    assert rows(store, "FROM internal.groups") == groups
    assert rows(store, "SELECT old_value, new_value FROM scan_changes WHERE field = 'disposition'") == [
        ("released", "delayed")
    ]
    news = "SELECT verdict, sub_classification, disposition, last_changed_at > first_loaded_at FROM scans "
    assert rows(store, f"{news} WHERE priority_rule = 'own' OR disposition = 'delayed' ORDER BY ALL") == [
        ("clean", "Harmless here", "held", True), ("safe", "Safe attachment", "delayed", True)
    ]  # fmt: skip
    assert run_replay(store, other, apply=True)["changes"] == []


def test_once_an_alert_always_an_alert(store: Store) -> None:
    harmless = options(store, "priorities", priorities="malicious,low,Not here,false,own")
    shown = run_replay(store, harmless, apply=True)
    assert (shown["alerts_cleared"], shown["alerts_raised"]) == (1, 0)
    sql = "SELECT priority, sub_classification, cleared_at IS NOT NULL FROM alerts ORDER BY detected_at"
    assert rows(store, sql)[0] == ("high", "Malicious attachment", True)
    (store.settings.home / "priorities.csv").unlink()
    assert run_replay(store, options(store, "priorities"), apply=True)["scans_changed"] == 1
    assert rows(store, sql)[0] == ("high", "Malicious attachment", False)


def test_a_lower_priority_of_today_leaves_the_highest(store: Store) -> None:
    assert run_replay(store, options(store, priorities="malicious,medium,Less,true,own"), apply=True)["changes"] == []


def test_responses_mean_something_else_and_leave_verdicts_alone(store: Store) -> None:
    other = options(store, "responses", priorities="safe,high,Own,true,own", responses="hold,blocked")
    shown = run_replay(store, other, apply=True)
    assert told(shown) == {("hold", "held", "blocked", 5)}
    assert rows(store, "SELECT disposition, count(*) FROM scans GROUP BY ALL ORDER BY ALL") == [
        ("blocked", 5), ("released", 1)
    ]  # fmt: skip
    assert rows(store, "SELECT priority, cleared_at IS NOT NULL FROM alerts ORDER BY detected_at") == [
        ("high", False), ("medium", True), ("medium", False)
    ]  # fmt: skip
    assert rows(store, "SELECT worst_disposition FROM alert_groups") == [("blocked",)]


def test_scans_without_verdict_follow_their_connector_and_stay_without_one(store: Store) -> None:
    before = content(store)
    assert run_replay(store, options(store, no_verdict="low", known=False), apply=True)["changes"] == []
    assert content(store) == before
    assert run_replay(store, options(store, no_verdict="low"), apply=True)["alerts_cleared"] == 1


def test_rejects_that_are_records_by_now_become_scans(store: Store) -> None:
    bad = [reject("1"), reject("2", dangerous=True)]
    load(store, [], rejects=bad)

    def again(rejects: pl.DataFrame) -> Revalidated:
        assert rejects["raw"].to_list() == ["1", "2"]
        return Revalidated(frame([scan(9, recipient=BOB)]), rejects["reject_id"].tail(1))

    shown = run_replay(store, options(store, "rejects", again=again), apply=False)
    assert told(shown) == {("not an object", "rejected", "high", 1)}
    assert (shown["rejects_accepted"], shown["rejects_left"]) == (1, 1)
    run_replay(store, options(store, "rejects", again=again), apply=True)
    assert rows(store, "SELECT raw, resolved_at IS NOT NULL FROM rejects ORDER BY raw") == [("1", False), ("2", True)]
    assert rows(store, "SELECT count(*) FROM alerts WHERE recipient = $bob", bob=BOB) == [(1,)]


def test_a_store_that_has_moved_on_is_planned_again(store: Store) -> None:
    other = options(store, "priorities", priorities="safe,medium,Own,false,own")
    with store.snapshot() as database:
        plan = plan_replay(database, other)
    load(store, [[scan(7, "safe")]], source())
    assert apply_replay(store, other, plan).kinds.filter("new_alert")["scans"].sum() == 4
    assert rows(store, "SELECT count(*) FROM scans WHERE priority = 'low'") == [(1,)]


def test_an_entry_that_has_expired_ends_also_when_nothing_else_changes(store: Store) -> None:
    add(store, Entry("sender", "eve@evil.example", "known", "ann", datetime.now(UTC) + timedelta(days=1)))
    with store.transaction() as transaction:  # a day passes
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    run_replay(store, options(store), apply=True)
    with store.reader() as reader:
        assert reader.rows("SELECT count(*) FROM suppressed_alerts") == [(0,)]
        assert reader.rows("SELECT count(*) > 0 FROM alerts") == [(True,)]
