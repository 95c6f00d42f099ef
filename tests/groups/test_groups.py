"""Groups in the store: partition, ids and counts in the histories that people ask about; `test_histories` has all.

The histories use limits of 2 and 6 hours, so that few alerts make many groups.
"""

from pathlib import Path
from typing import Any

from tasks.store.store import Store
from tests.scans import START, begun, load, rows, scan, source

SOURCES = (source(1), source(2, "other"), source(3))


def grouped(store: Store) -> dict[int, str]:
    """Hour of each alert → its group."""
    found = rows(store, "SELECT date_diff('hour', $start, detected_at), group_id::VARCHAR FROM alerts", start=START)
    return dict(found)


def small(tmp_path: Path, **options: Any) -> Store:
    return begun(tmp_path, *SOURCES, group_gap_hours=2, group_span_hours=6, **options)


def test_late_alert_joins_two_groups_under_older_id(tmp_path: Path) -> None:
    store = small(tmp_path)
    load(store, [[scan(10), scan(11)]])
    load(store, [[scan(7)]])
    newer, older = grouped(store)[7], grouped(store)[10]
    assert newer != older
    load(store, [[scan(9)]])
    assert set(grouped(store).values()) == {older}
    assert rows(store, "SELECT old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases") == [(newer, older)]
    moved = rows(store, "SELECT old_group_id::VARCHAR, new_group_id::VARCHAR FROM group_changes")
    assert moved == [(newer, older)]
    assert rows(store, "SELECT alert_count, times_seen_before FROM alert_groups") == [(4, 0)]


def test_late_first_alert_moves_limit_and_splits_group(tmp_path: Path) -> None:
    store = small(tmp_path)
    load(store, [[scan(2), scan(4), scan(6), scan(8)]])
    assert len(set(grouped(store).values())) == 1
    load(store, [[scan(0)]])
    after = grouped(store)
    assert len({after[hour] for hour in (0, 2, 4, 6)}) == 1
    assert after[8] not in {after[0], None}
    assert rows(store, "SELECT previous_group_id::VARCHAR FROM alert_groups ORDER BY first_detected_at") == [
        (None,),
        (after[0],),
    ]
    assert len(rows(store, "SELECT * FROM group_changes")) == 1


def test_id_of_ended_group_is_not_reused(tmp_path: Path) -> None:
    store = small(tmp_path)
    for hour in (10, 7, 9):
        load(store, [[scan(hour)]])
    ended = rows(store, "SELECT old_group_id::VARCHAR FROM group_aliases")[0][0]
    load(store, [[scan(5), scan(3)]])
    groups = grouped(store)
    assert groups[3] == groups[5] == groups[7] == groups[9] != groups[10]
    # Its earliest-loaded member is the alert of 7 h, whose id the group of that time bore.
    assert rows(store, "SELECT alert_id::VARCHAR FROM alerts ORDER BY detected_at LIMIT 1 OFFSET 2") == [(ended,)]
    assert groups[7] not in {ended, groups[10]}
    assert rows(store, "SELECT old_group_id::VARCHAR, group_id::VARCHAR FROM group_aliases") == [(ended, groups[10])]


def test_alias_after_repeated_joins_leads_to_present_group(tmp_path: Path) -> None:
    store = small(tmp_path)
    for hour in (20, 17, 14):
        load(store, [[scan(hour)]])
    oldest = grouped(store)[20]
    load(store, [[scan(15.5)]])
    load(store, [[scan(18.5)]])
    aliases = rows(store, "SELECT DISTINCT group_id::VARCHAR FROM group_aliases")
    assert aliases == [(oldest,)]
    assert set(grouped(store).values()) == {oldest}


def test_group_priority_follows_uncleared_alerts(tmp_path: Path) -> None:
    store = small(tmp_path)
    told = "SELECT priority, sub_classification, cleared_at IS NOT NULL FROM alert_groups"
    load(store, [[scan(0), scan(1, "unsafe")]])
    assert rows(store, told) == [("high", "Malicious attachment", False)]
    load(store, [[scan(0, "safe", read=1001)]])
    assert rows(store, told) == [("medium", "Unsafe attachment", False)]
    load(store, [[scan(1, "safe", read=1002)]])
    assert rows(store, told) == [("high", "Malicious attachment", True)]


def test_groups_do_not_cross_tenants(tmp_path: Path) -> None:
    store = small(tmp_path)
    low = scan(1, "safe", recipient="bob@contoso.example")
    load(store, [[scan(0), low]], SOURCES[0])
    load(store, [[scan(0, "unknown"), low]], SOURCES[1])
    load(store, [[scan(0), low]], SOURCES[2])
    groups = rows(store, "SELECT tenant, alert_count, exposure_count, connectors FROM alert_groups ORDER BY tenant")
    assert groups == [("default", 2, 1, ["connector-1", "connector-3"]), ("other", 1, 0, ["connector-2"])]
    assert {row[0] for row in rows(store, "SELECT tenant FROM exposures")} == {"default"}
    assert len(rows(store, "SELECT DISTINCT group_id FROM alerts")) == 2


def test_alerts_without_hash_group_by_message_and_file_name(tmp_path: Path) -> None:
    store = small(tmp_path)
    nothing: dict[str, Any] = {"file_sha256": None}
    same = [scan(file_sha256=None, recipient=name) for name in "ab"]
    other = scan(file_sha256=None, file_name="other.pdf")
    alone = [scan(**nothing, message_id=None, recipient=name) for name in "ab"]
    load(store, [[*same, other, *alone]])
    assert sorted(row[0] for row in rows(store, "SELECT alert_count FROM alert_groups")) == [1, 1, 1, 2]


def test_alert_changes_group_with_priority_in_key(tmp_path: Path) -> None:
    store = small(tmp_path, group_by="hash+priority")
    load(store, [[scan(0, "unsafe"), scan(1, "unsafe"), scan(1.5, "malicious")]])
    before = grouped(store)
    assert len(rows(store, "SELECT * FROM alert_groups")) == 2
    load(store, [[scan(0, "malicious", read=1001)]])
    found = rows(store, "SELECT priority, alert_count, first_detected_at FROM alert_groups ORDER BY priority")
    assert found == [("high", 2, scan(0)["detected_at"]), ("medium", 1, scan(1)["detected_at"])]
    assert before[0] in grouped(store).values()


def test_key_changed_twice_in_one_slice_leaves_one_key_per_group(tmp_path: Path) -> None:
    store = small(tmp_path, group_by="hash+response")
    load(store, [[scan(0), scan(1)]])
    load(store, [[scan(0, response="block", read=1001)], [scan(0, response="delay", read=1002)]])
    groups = rows(store, "SELECT alert_count, responses[1].response FROM alert_groups ORDER BY 2")
    assert groups == [(1, "delay"), (1, "hold")]
    assert len(set(grouped(store).values())) == 2


def test_columns_of_later_features_exist_without_them(tmp_path: Path) -> None:
    store = small(tmp_path)
    load(store, [[scan()]])
    names = "suppressed_count, user_count, device_count, unmatched_count, users, devices, status, assignee, reopened_at"
    assert rows(store, f"SELECT {names} FROM alert_groups") == [(0, None, None, None, [], [], "new", None, None)]
