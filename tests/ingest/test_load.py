"""Slices into a real store: accounting, exactly once, rejects, exposures, privacy."""

from pathlib import Path
from typing import Any

import pytest

from tasks.store.store import Store
from tests.scans import HASH, HOUR, START, begun, content, load, reject, rows, scan, source

OTHER_HASH = "cd" * 32
WITH_TEXT = "SELECT count(*) FROM scans WHERE priority <> 'low' AND subject = 'Your invoice' AND raw IS NOT NULL"
MIXED = [
    scan(0),
    scan(1, "safe", recipient="bob@contoso.example"),
    scan(2, "timeout", file_sha256=None),
    scan(3, "unsafe", file_sha256=OTHER_HASH),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, source(1), source(2), source(3, "other"))


def test_the_same_slice_again_changes_nothing(store: Store) -> None:
    odd = [reject("[1]"), reject('{"date": "?"}', dangerous=True)]
    first = load(store, [MIXED, [scan(0, "unsafe", read=1001)]], rejects=odd)
    assert (first.new, first.changed, first.duplicates, first.rejected, first.alerts, first.high) == (4, 1, 0, 2, 3, 1)
    before, revision = content(store), rows(store, "SELECT revision FROM published")
    again = load(store, [[*MIXED, scan(0, "unsafe", read=1001)]], rejects=odd)
    assert (again.new, again.changed, again.duplicates, again.rejected, again.alerts, again.high) == (0, 0, 5, 2, 0, 0)
    assert content(store) == before
    assert rows(store, "SELECT revision FROM published") == revision


def test_what_comes_again_later_changes_nothing_but_when_a_reject_was_last_seen(store: Store) -> None:
    load(store, [MIXED], rejects=[reject("[1]")])
    before = content(store)
    load(store, [[each | {"fetched_at": START + 2000 * HOUR} for each in MIXED]], rejects=[reject("[1]", read=2000)])
    after = content(store)
    assert {name for name in before if before[name] != after[name]} == {"rejects"}
    assert rows(store, "SELECT first_seen_at, last_seen_at FROM rejects") == [
        (START + 1000 * HOUR, START + 2000 * HOUR)
    ]


def test_every_windows_row_adds_up(store: Store) -> None:
    load(store, [MIXED, MIXED], rejects=[reject("[1]"), reject("[1]")])
    load(store, [[scan(0, "safe", read=1001), scan(9)]], source(2))
    load(store, [[]], rejects=[reject("[2]")])
    load(store, [])
    found = rows(store, "SELECT received, accepted, rejected, new, changed, duplicates FROM windows")
    assert sorted(found) == [(0, 0, 0, 0, 0, 0), (1, 0, 1, 0, 0, 0), (2, 2, 0, 2, 0, 0), (10, 8, 2, 4, 0, 4)]
    assert all(all_ == good + bad and good == new + changed + same for all_, good, bad, new, changed, same in found)
    assert rows(store, "SELECT count(*) FROM scans") == [(6,)]


def test_each_changed_field_is_a_row(store: Store) -> None:
    load(store, [[scan()]])
    load(store, [[scan(verdict="unsafe", response="user release", read=1001)]])
    told = rows(store, "SELECT field, old_value, new_value, seen_at FROM scan_changes ORDER BY field")
    seen = START + 1001 * HOUR
    assert told == [("response", "hold", "user release", seen), ("verdict", "malicious", "unsafe", seen)]
    assert rows(store, "SELECT verdict, priority, disposition FROM alerts") == [("unsafe", "high", "released")]
    assert rows(store, "SELECT released_count, worst_disposition, verdicts FROM alert_groups") == [
        (1, "released", ["unsafe"])
    ]


def test_older_news_from_another_run_is_a_duplicate(store: Store) -> None:
    load(store, [[scan(verdict="unsafe", read=1001)]])
    late = load(store, [[scan(verdict="malicious", read=1000)]])
    assert (late.new, late.changed, late.duplicates) == (0, 0, 1)
    assert rows(store, "SELECT verdict FROM scans") == [("unsafe",)]


def test_connectors_share_tables_and_groups(store: Store) -> None:
    load(store, [[scan(0)]], source(1))
    load(store, [[scan(0), scan(1)]], source(2))
    assert rows(store, "SELECT connector, count(*) FROM alerts GROUP BY ALL ORDER BY ALL") == [
        ("connector-1", 1),
        ("connector-2", 2),
    ]
    assert rows(store, "SELECT alert_count, connectors, product FROM alert_groups") == [
        (3, ["connector-1", "connector-2"], "some-product")
    ]


def rejected(store: Store) -> list[tuple[Any, ...]]:
    return rows(store, "SELECT raw, resolved_at IS NOT NULL FROM rejects ORDER BY raw")


def test_a_reject_is_stored_once_and_resolved_when_its_record_is_accepted(store: Store) -> None:
    one, two = reject("one"), reject("two")
    load(store, [], rejects=[one, two, one])
    assert rejected(store) == [("one", False), ("two", False)]
    load(store, [[scan()]], resolved=[one["reject_id"]])
    assert rejected(store) == [("one", True), ("two", False)]
    load(store, [], rejects=[reject("one", read=1001)])
    assert rejected(store) == [("one", False), ("two", False)]


def state(store: Store) -> tuple[Any, ...]:
    return rows(
        store,
        "SELECT state, last_error IS NULL, dangerous_rejects FROM connector_health WHERE connector = 'connector-1'",
    )[0]


def test_a_reject_that_speaks_of_danger_turns_the_health_until_it_is_resolved(store: Store) -> None:
    now = rows(store, "SELECT date_diff('second', $start, now()) / 3600", start=START)[0][0]
    fine, bad = reject("fine", read=now), reject("malicious", read=now, dangerous=True)
    load(store, [[scan(now)]], rejects=[fine])
    assert state(store)[1:] == (True, 0)
    load(store, [], rejects=[bad])
    assert state(store) == ("failing", False, 1)
    load(store, [], resolved=[bad["reject_id"]])
    assert state(store)[1:] == (True, 0)


def exposures(store: Store) -> list[tuple[Any, ...]]:
    return rows(store, "SELECT recipient, direction, also_alerted FROM exposures ORDER BY recipient, direction")


def exposed(store: Store) -> list[tuple[Any, ...]]:
    return rows(store, "SELECT exposure_count FROM alert_groups ORDER BY first_detected_at")


def test_who_got_a_hash_before_or_after_it_was_known_to_be_dangerous_is_exposed(store: Store) -> None:
    load(
        store, [[scan(1, "safe", recipient="ann"), scan(2, "clean", recipient="bob"), scan(3, "safe", recipient=None)]]
    )
    assert exposures(store) == []
    load(store, [[scan(5, "malicious", recipient="ann")]])
    load(store, [[scan(6, "safe", recipient="cyd"), scan(7, "safe", file_sha256=OTHER_HASH)]])
    assert exposures(store) == [
        ("ann", "before", True),
        ("bob", "before", False),
        ("cyd", "after", False),
        (None, "before", False),
    ]
    assert exposed(store) == [(2,)]
    group, first = rows(store, "SELECT DISTINCT group_id, first_alert_at FROM exposures")[0]
    assert rows(store, "SELECT group_id, first_detected_at FROM alert_groups") == [(group, first)]


def test_a_hash_that_only_begins_like_a_dangerous_one_exposes_nobody(store: Store) -> None:
    alike, unlike = f"{HASH[:8]}{'0' * 56}", f"{HASH[:8]}{'f' * 56}"
    load(store, [[scan(1, "safe", recipient="bob", file_sha256=alike)]])
    load(store, [[scan(2, "malicious", file_sha256=HASH)]])
    assert (exposures(store), exposed(store)) == ([], [(0,)])
    load(store, [[scan(3, "safe", recipient="cyd", file_sha256=unlike)]])
    load(store, [[scan(4, "malicious", file_sha256=unlike)]])
    assert (exposures(store), exposed(store)) == ([("cyd", "before", False)], [(0,), (1,)])


def test_an_alert_that_is_not_dangerous_exposes_nobody(store: Store) -> None:
    load(store, [[scan(0, "unknown"), scan(1, "safe", recipient="bob")]])
    assert exposures(store) == []
    load(store, [[scan(0, "unsafe", read=1001)]])
    assert exposures(store) == [("bob", "after", False)]


def test_exposures_go_with_the_last_dangerous_verdict_and_come_back_with_it(store: Store) -> None:
    load(store, [[scan(0), scan(1, "unsafe"), scan(2, "safe", recipient="bob")]])
    load(store, [[scan(0, "safe", read=1001)]])
    assert exposures(store) == [("bob", "after", False)]
    load(store, [[scan(1, "unknown", read=1002)]])
    assert exposures(store) == []
    assert exposed(store) == [(0,)]
    load(store, [[scan(1, "malicious", read=1003)], [scan(3, "safe", recipient="cyd")]])
    assert exposures(store) == [("bob", "after", False), ("cyd", "after", False)]
    assert exposed(store) == [(2,)]


def test_an_exposed_scan_that_becomes_an_alert_is_exposed_no_longer(store: Store) -> None:
    load(store, [[scan(0), scan(2, "safe", recipient="bob"), scan(3, "safe", recipient="bob")]])
    assert exposed(store) == [(1,)]
    load(store, [[scan(2, "unsafe", recipient="bob", read=1001)]])
    assert exposures(store) == [("bob", "after", True)]
    assert exposed(store) == [(0,)]


def test_scans_that_raise_no_alert_are_counted_and_kept_without_their_text(store: Store) -> None:
    load(store, [MIXED])
    kept = rows(store, "SELECT verdict, subject, details, raw IS NULL FROM scans WHERE priority = 'low'")
    assert kept == [("safe", None, None, True)]
    assert rows(store, WITH_TEXT) == [(3,)]
    load(store, [[scan(1, "unsafe", read=1001, recipient="bob@contoso.example")]])
    assert rows(store, WITH_TEXT) == [(4,)]
    load(store, [[scan(8, "safe")], [scan(8, "clean", read=1001)]])
    load(store, [[scan(8, "safe", read=1002)]])
    assert rows(store, "SELECT count(*), count(DISTINCT scan_id) FROM scans") == [(5, 5)]


def test_a_site_may_keep_their_text(tmp_path: Path) -> None:
    store = begun(tmp_path, keep_low="full")
    load(store, [MIXED])
    kept = rows(store, "SELECT verdict, subject, details, raw IS NULL FROM scans WHERE priority = 'low'")
    assert kept == [("safe", "Your invoice", "looks bad", False)]


def test_links_and_lists_of_an_alert(store: Store) -> None:
    load(store, [[scan(response="user release, none", message_id="<a b@x>", sender="<>")]])
    told = rows(store, "SELECT responses, detection_details_url, sender_domain, recipient_domain FROM alerts")
    assert told == [(["user release", "none"], "https://x.example/%3Ca%20b%40x%3E", None, "contoso.example")]
    names = rows(store, "SELECT description, key_indicators FROM alert_groups")[0]
    assert names[0] == "Malicious attachment · application/pdf · invoice.pdf"
    assert [each["kind"] for each in names[1]] == ["hash", "file name", "sender"]
