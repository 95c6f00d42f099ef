"""Regroup: the preview equals the change, which is made once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.maintenance import regroup
from tasks.maintenance.regroup import apply_groups, plan_groups, run_regroup
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tests.scans import begun, content, load, rows, scan, source

OTHER_HASH = "cd" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A group of three days and one of a single alert, by the default limits."""
    store = begun(tmp_path)
    alone = scan(30, "unsafe", file_sha256=OTHER_HASH)
    load(store, [[scan(0), scan(20, "unsafe"), scan(40), scan(60), alone]])
    store.publish()
    return store


def test_preview_counts_exactly_and_changes_nothing(store: Store) -> None:
    before = content(store)
    found = run_regroup(store, None, 10, None, apply=False)
    assert (found["groups_before"], found["groups_after"]) == (2, 5)
    assert (found["alerts_moved"], found["groups_split"], found["groups_joined"]) == (3, 1, 0)
    (split,) = found["split"]
    assert (split["alerts"], split["parts"], split["file_name"]) == (4, 4, "invoice.pdf")
    assert found["unlike_settings"] == ["group_gap_hours"]
    assert content(store) == before


def test_change_is_made_once_and_can_be_reverted(store: Store) -> None:
    before = rows(store, "SELECT alert_id, group_id FROM alerts ORDER BY ALL")
    done = run_regroup(store, "hash+priority", None, 30, apply=True)
    assert (done["groups_after"], done["alerts_rekeyed"]) == (4, 5)
    groups = "SELECT priority, alert_count, exposure_count FROM alert_groups ORDER BY first_detected_at"
    assert rows(store, groups) == [("high", 1, 0), ("medium", 1, 0), ("medium", 1, 0), ("high", 2, 0)]
    assert len(rows(store, "SELECT * FROM group_changes")) == done["alerts_moved"] == 3
    with store.reader() as reader:
        assert reader.rows("SELECT count(*) FROM alert_groups") == [(4,)]  # published
    revision = store.published_revision()
    again = run_regroup(store, "hash+priority", None, 30, apply=True)
    assert (again["alerts_moved"], again["alerts_rekeyed"], again["groups_joined"]) == (0, 0, 0)
    assert store.published_revision() == revision
    back = run_regroup(store, None, None, None, apply=True)
    assert (back["groups_joined"], back["joined"][0]["parts"], back["unlike_settings"]) == (1, 3, [])
    assert rows(store, "SELECT alert_id, group_id FROM alerts ORDER BY ALL") == before
    assert {row[0] for row in rows(store, "SELECT group_id FROM group_aliases")} <= {group for _, group in before}


def test_exposure_counts_are_kept(store: Store) -> None:
    load(store, [[scan(5, "safe", recipient="bob@contoso.example")]])
    counts = "SELECT exposure_count FROM alert_groups WHERE file_sha256 = $hash"
    assert rows(store, counts, hash="ab" * 32) == [(1,)]
    run_regroup(store, None, 10, None, apply=True)
    assert rows(store, counts, hash="ab" * 32) == [(1,)] * 4


def test_plan_is_made_again_if_the_store_has_changed(store: Store) -> None:
    wanted = store.settings.model_copy(update={"group_gap_hours": 10})
    with store.snapshot() as database:
        plan = plan_groups(database, wanted)
    load(store, [[scan(200), scan(220)]], source())
    done = apply_groups(store, wanted, plan)
    assert done.revision > plan.revision
    assert rows(store, "SELECT count(*) FROM alert_groups") == [(7,)]
    assert regroup.compare_groups(done)["alerts"] == 7


def test_expired_entry_ends_although_nothing_else_changes(store: Store) -> None:
    add(store, Entry("sender", "eve@evil.example", "known", "ann", datetime.now(UTC) + timedelta(days=1)))
    with store.transaction() as transaction:  # a day passes
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    run_regroup(store, None, None, None, apply=True)
    with store.reader() as reader:
        assert reader.rows("SELECT count(*) FROM suppressed_alerts") == [(0,)]
        assert reader.rows("SELECT count(*) > 0 FROM alerts") == [(True,)]
