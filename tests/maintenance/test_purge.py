"""Purge: everything of one connector is deleted, and the rest is as if it had never existed."""

from pathlib import Path
from typing import Any

from tasks.maintenance.purge import count_rows_to_purge, purge
from tasks.store.store import Store
from tests.scans import CONTENT, UNLIKE_LOW_SCANS, begun, content, load, reject, rows, scan, source

ONE, TWO = source(1), source(2)
OTHER_HASH, THIRD_HASH = "cd" * 32, "ef" * 32


# Contents without IDs and times that depend on when a group was created.
COMPARED = {
    "alert_groups": "* EXCLUDE (group_id, previous_group_id, first_loaded_at, last_changed_at)",
    "alerts": "* EXCLUDE (group_id, raised_at, cleared_at, first_loaded_at, last_changed_at)",
    "exposures": "* EXCLUDE (group_id)",
    "rejects": "*",
    "coverage": "*",
    "coverage_gaps": "*",
}


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(store, f"SELECT {columns} FROM {name} ORDER BY ALL") for name, columns in COMPARED.items()}


def fill(store: Store, *, both: bool) -> None:
    """Two's alerts of 0 h and 40 h are one group only while one's of 20 h is there."""
    if both:
        mine = [scan(20), scan(21, "safe", recipient="bob"), scan(22, "unsafe", file_sha256=OTHER_HASH)]
        load(store, [[*mine, scan(23, "safe", file_sha256=THIRD_HASH, recipient="bob")]], ONE, rejects=[reject("1")])
        load(store, [[scan(20, "unsafe", read=1001)]], ONE)
    load(store, [[scan(0), scan(40), scan(41, "safe", recipient="cyd")]], TWO, rejects=[reject("2")])
    load(store, [[scan(42, "safe", file_sha256=OTHER_HASH, recipient="dan"), scan(file_sha256=THIRD_HASH)]], TWO)


def test_rest_is_as_if_the_connector_had_never_existed(tmp_path: Path) -> None:
    for name in ("both", "alone"):
        (tmp_path / name).mkdir()
    both, alone = (begun(tmp_path / name, ONE, TWO) for name in ("both", "alone"))
    fill(both, both=True)
    assert rows(both, "SELECT alert_count, exposure_count FROM alert_groups ORDER BY 1") == [(1, 1), (1, 1), (3, 2)]
    purge(both, ONE.connector_id)
    fill(alone, both=False)
    purge(alone, ONE.connector_id)
    assert contents(both) == contents(alone)
    assert rows(both, "SELECT count(*) FROM exposures")[0] == (1,)


def test_moved_alerts_of_other_connectors_are_recorded(tmp_path: Path) -> None:
    store = begun(tmp_path, ONE, TWO)
    fill(store, both=True)
    load(store, [[scan(500)]], ONE)
    before = dict(rows(store, "SELECT alert_id, group_id FROM alerts"))
    purge(store, ONE.connector_id)
    after = dict(rows(store, "SELECT alert_id, group_id FROM alerts"))
    kept = [name for name in after if after[name] == before[name]]
    assert len(kept) == 2  # one of another hash, and one of the two that were split
    moved = rows(store, "SELECT alert_id, old_group_id, new_group_id FROM group_changes")
    assert moved == [(name, before[name], after[name]) for name in after if name not in kept]


def test_counted_rows_are_deleted_and_published(tmp_path: Path) -> None:
    store = begun(tmp_path, ONE, TWO)
    fill(store, both=True)
    load(store, [[scan(hour, "safe") for hour in range(100, 105)]], ONE)
    assert count_rows_to_purge(store, ONE.connector_id) == {
        "alerts": 2,
        "scans without alert": 7,
        "rejects": 1,
        "windows": 3,
        "coverage": 1,
    }
    purge(store, ONE.connector_id)
    assert set(count_rows_to_purge(store, ONE.connector_id).values()) == {0}
    with store.reader() as reader:  # published at once
        for name in CONTENT:
            assert "connector-1" not in str(reader.rows(f"SELECT * FROM {name}"))
        assert reader.rows("SELECT count(*) FROM scan_changes") == [(0,)]
        assert reader.rows("SELECT connector FROM connector_health") == [("connector-2",)]
        assert reader.rows("SELECT count(*) FROM internal.exposed_scans") == [(1,)]
        assert reader.rows(UNLIKE_LOW_SCANS) == []


def test_purge_of_a_connector_without_data_changes_nothing(tmp_path: Path) -> None:
    store = begun(tmp_path, ONE, TWO)
    load(store, [[scan(0), scan(1, "safe", recipient="bob")]], TWO)
    before = content(store)
    purge(store, ONE.connector_id)
    assert content(store) == before
