"""Replay: other maps for stored scans, rejects that are valid now; the preview equals the change, made once."""

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
    """A home that each test copies: an alert, a cleared one, one without a verdict, three low scans."""
    store = begun(tmp_path_factory.mktemp("loaded"))
    load(store, [[scan(0), scan(1, "unsafe"), scan(2, "timeout"), scan(3, "safe"), scan(4, "clean", recipient=BOB)]])
    load(store, [[scan(1, "safe", read=1001), scan(5, "safe", response="release", recipient=CYD)]])
    store.publish()
    return store.settings.home


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Store:
    return open_store(Settings(home=shutil.copytree(loaded, tmp_path / "home"), **KEEP_ALL))


def options(
    store: Store,
    *what: Any,
    no_verdict: Any = "medium",
    no_verdict_known: bool = True,
    validate: Any = None,
    **maps: str,
) -> ReplayOptions:
    """The current rules, with a site's own rows instead of the defaults'."""
    for name, text in maps.items():
        default = (DEFAULTS / f"{name}.csv").read_text().splitlines()
        first = text.partition(",")[0]
        kept = [line for line in default if line.partition(",")[0] != first]
        (store.settings.home / f"{name}.csv").write_text("\n".join([*kept, text]) + "\n")
    chosen = frozenset(what or WHAT)
    rules = CurrentRules(load_maps(store.settings, no_verdict), frozenset(chosen - {"rejects"}), no_verdict_known)
    none_valid = Revalidated(frame([]), pl.Series([], dtype=pl.String))
    return ReplayOptions(chosen, lambda _: rules, lambda _, rejects: validate(rejects) if validate else none_valid)


def changes_in(counts: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(change["said"], change["old"], change["new"], change["count"]) for change in counts["changes"]}


def test_same_maps_change_nothing(store: Store) -> None:
    before, revision = content(store), store.published_revision()
    assert run_replay(store, options(store), apply=True)["changes"] == []
    assert content(store) == before
    assert store.published_revision() == revision


def test_verdict_that_became_dangerous_raises_low_scans(store: Store) -> None:
    other = options(store, "priorities", priorities="clean,high,Clean but not here,true,own-clean")
    before = content(store)
    shown = run_replay(store, other, apply=False)
    assert changes_in(shown) == {
        ("clean", "low (Safe attachment, verdict-clean)", "high (Clean but not here, own-clean)", 1)
    }
    assert (shown["alerts_raised"], shown["alerts_cleared"], shown["scans_changed"]) == (1, 0, 1)
    assert content(store) == before
    assert changes_in(run_replay(store, other, apply=True)) == changes_in(shown)
    assert rows(store, "SELECT priority, verdict, subject FROM alerts WHERE recipient = $bob", bob=BOB) == [
        ("high", "clean", None)  # not stored for low scans; the next fetch adds it
    ]
    changes = rows(store, "SELECT field, old_value, new_value FROM scan_changes WHERE field = 'priority'")
    assert changes == [("priority", "low", "high")]
    with store.reader() as reader:
        assert reader.rows("SELECT sum(alert_count), any_value(exposure_count) FROM alert_groups") == [(4, 1)]
    done = content(store)
    assert run_replay(store, other, apply=True)["changes"] == []
    assert content(store) == done


def test_raised_groups_are_one_digest_and_closed_ones_reopen(store: Store) -> None:
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
        events = outbox.claim(transaction, outbox.NotificationSource(), store.settings, datetime.now(UTC))
    assert [(event.name, event.payload["causes"], event.payload["changes"]) for event in events] == [
        ("attachment-alerts.digest", {"replay": 3}, {"group_raised": 2, "group_reopened": 1})
    ]


def test_scans_that_stay_low_get_their_new_classification_only(store: Store) -> None:
    columns = "* EXCLUDE (priority_rule, sub_classification, disposition, last_changed_at)"
    before, groups = rows(store, f"SELECT {columns} FROM scans ORDER BY ALL"), rows(store, "FROM internal.groups")
    other = options(store, priorities="clean,low,Harmless here,false,own", responses="release,delayed")
    assert changes_in(run_replay(store, other, apply=True)) == {
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


def test_alert_whose_verdict_is_low_now_is_cleared_and_kept(store: Store) -> None:
    harmless = options(store, "priorities", priorities="malicious,low,Not here,false,own")
    shown = run_replay(store, harmless, apply=True)
    assert (shown["alerts_cleared"], shown["alerts_raised"]) == (1, 0)
    sql = "SELECT priority, sub_classification, cleared_at IS NOT NULL FROM alerts ORDER BY detected_at"
    assert rows(store, sql)[0] == ("high", "Malicious attachment", True)
    (store.settings.home / "priorities.csv").unlink()
    assert run_replay(store, options(store, "priorities"), apply=True)["scans_changed"] == 1
    assert rows(store, sql)[0] == ("high", "Malicious attachment", False)


def test_lower_priority_keeps_the_highest(store: Store) -> None:
    assert run_replay(store, options(store, priorities="malicious,medium,Less,true,own"), apply=True)["changes"] == []


def test_other_responses_change_dispositions_only(store: Store) -> None:
    other = options(store, "responses", priorities="safe,high,Own,true,own", responses="hold,blocked")
    shown = run_replay(store, other, apply=True)
    assert changes_in(shown) == {("hold", "held", "blocked", 5)}
    assert rows(store, "SELECT disposition, count(*) FROM scans GROUP BY ALL ORDER BY ALL") == [
        ("blocked", 5), ("released", 1)
    ]  # fmt: skip
    assert rows(store, "SELECT priority, cleared_at IS NOT NULL FROM alerts ORDER BY detected_at") == [
        ("high", False), ("medium", True), ("medium", False)
    ]  # fmt: skip
    assert rows(store, "SELECT worst_disposition FROM alert_groups") == [("blocked",)]


def test_scans_without_verdict_follow_the_setting_of_their_connector(store: Store) -> None:
    before = content(store)
    assert run_replay(store, options(store, no_verdict="low", no_verdict_known=False), apply=True)["changes"] == []
    assert content(store) == before
    assert run_replay(store, options(store, no_verdict="low"), apply=True)["alerts_cleared"] == 1


def test_rejects_that_are_valid_now_become_scans(store: Store) -> None:
    bad = [reject("1"), reject("2", dangerous=True)]
    load(store, [], rejects=bad)

    def accept_the_last(rejects: pl.DataFrame) -> Revalidated:
        assert rejects["raw"].to_list() == ["1", "2"]
        return Revalidated(frame([scan(9, recipient=BOB)]), rejects["reject_id"].tail(1))

    shown = run_replay(store, options(store, "rejects", validate=accept_the_last), apply=False)
    assert changes_in(shown) == {("not an object", "rejected", "high", 1)}
    assert (shown["rejects_accepted"], shown["rejects_left"]) == (1, 1)
    run_replay(store, options(store, "rejects", validate=accept_the_last), apply=True)
    assert rows(store, "SELECT raw, resolved_at IS NOT NULL FROM rejects ORDER BY raw") == [("1", False), ("2", True)]
    assert rows(store, "SELECT count(*) FROM alerts WHERE recipient = $bob", bob=BOB) == [(1,)]


def test_plan_is_made_again_if_the_store_has_changed(store: Store) -> None:
    other = options(store, "priorities", priorities="safe,medium,Own,false,own")
    with store.snapshot() as database:
        plan = plan_replay(database, other)
    load(store, [[scan(7, "safe")]], source())
    assert apply_replay(store, other, plan).kinds.filter("new_alert")["scans"].sum() == 4
    assert rows(store, "SELECT count(*) FROM scans WHERE priority = 'low'") == [(1,)]


def test_expired_entry_ends_although_nothing_else_changes(store: Store) -> None:
    add(store, Entry("sender", "eve@evil.example", "known", "ann", datetime.now(UTC) + timedelta(days=1)))
    with store.transaction() as transaction:  # a day passes
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    run_replay(store, options(store), apply=True)
    with store.reader() as reader:
        assert reader.rows("SELECT count(*) FROM suppressed_alerts") == [(0,)]
        assert reader.rows("SELECT count(*) > 0 FROM alerts") == [(True,)]
