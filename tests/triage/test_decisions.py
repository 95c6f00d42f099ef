"""What people decide: per alert, kept whatever runs do, and undone only by what they had not seen."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import TriageRefused
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide, find_alerts
from tasks.triage.selection import Filter
from tests.scans import HASH, begun, load, rows, scan

CLOSED = Decision("closed", "ann", "benign")
WORKING = Decision("in_progress", "ann", assignee="zoe")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, group_gap_hours=2, group_span_hours=6)


def groups(store: Store, columns: str = "status, close_reason, assignee, reopened_by") -> list[tuple[Any, ...]]:
    return rows(store, f"SELECT {columns} FROM alert_groups ORDER BY first_detected_at")


def ids(store: Store) -> list[str]:
    return [row[0] for row in groups(store, "group_id::VARCHAR")]


def test_decision_on_group_is_stored_per_alert(store: Store) -> None:
    load(store, [[scan(0), scan(1, "unsafe")]])
    decided = decide(store, CLOSED._replace(comment="a newsletter"), groups=[ids(store)[0][:8]])
    assert (decided.alerts, decided.groups) == (2, ids(store))
    assert groups(store) == [("closed", "benign", None, None)]
    log = rows(
        store, 'SELECT DISTINCT decision_id, group_id::VARCHAR, status, close_reason, comment, "by" FROM triage_log'
    )
    assert log == [(decided.decision_id, ids(store)[0], "closed", "benign", "a newsletter", "ann")]
    assert rows(store, 'SELECT count(*) FROM triage_log WHERE author = "by" AND decided_at = "at"') == [(2,)]
    assert rows(store, "SELECT DISTINCT status, close_reason, status_changed_at IS NOT NULL FROM alerts") == [
        ("closed", "benign", True)
    ]


def test_run_does_not_change_decisions(store: Store) -> None:
    load(store, [[scan(0)]])
    decide(store, WORKING, groups=ids(store))
    before = groups(store)
    load(store, [[scan(0, response="block", read=1001)]])
    load(store, [[scan(0, "safe", response="block", read=1002)]])
    assert rows(store, "SELECT response, cleared_at IS NOT NULL, status, assignee FROM alerts") == [
        ("block", True, "in_progress", "zoe")
    ]
    assert groups(store) == before
    assert rows(store, "SELECT count(*) FROM triage_log") == [(1,)]


def test_new_alert_reopens_closed_group(store: Store) -> None:
    load(store, [[scan(0)]])
    decide(store, CLOSED, groups=ids(store))
    load(store, [[scan(1)]])
    assert groups(store) == [("new", None, None, "new_alert")]
    reopened_at = groups(store, "reopened_at")
    assert reopened_at == rows(store, "SELECT max(raised_at) FROM alerts")
    load(store, [[scan(1.5)]])
    decide(store, WORKING, groups=ids(store))
    assert groups(store) == [("in_progress", None, "zoe", "new_alert")]
    assert groups(store, "reopened_at") == reopened_at
    decide(store, CLOSED, groups=ids(store))
    assert groups(store) == [("closed", "benign", "zoe", None)]


@pytest.mark.parametrize(("first", "then"), [("unsafe", "malicious"), ("timeout", "unsafe")])
def test_alert_with_raised_priority_is_new_again(store: Store, first: str, then: str) -> None:
    load(store, [[scan(0, first), scan(1, first)]])
    decide(store, CLOSED, groups=ids(store))
    load(store, [[scan(1, then, read=1001)]])
    assert groups(store) == [("new", None, None, "raised_priority")]
    assert rows(store, "SELECT status FROM alerts ORDER BY detected_at") == [("closed",), ("new",)]
    decide(store, CLOSED, groups=ids(store))
    load(store, [[scan(1, first, read=1002)], [scan(1, then, read=1003)]])
    assert groups(store) == [("closed", "benign", None, None)]


def test_new_alerts_leave_group_in_progress(store: Store) -> None:
    load(store, [[scan(0)]])
    decide(store, WORKING, groups=ids(store))
    load(store, [[scan(1, recipient=f"{number}@contoso.example") for number in range(50)]])
    assert groups(store) == [("in_progress", None, "zoe", None)]


def test_person_reopens_closed_group(store: Store) -> None:
    load(store, [[scan(0), scan(1)]])
    decide(store, CLOSED, groups=ids(store))
    one = rows(store, "SELECT alert_id::VARCHAR FROM alerts LIMIT 1")[0][0]
    decide(store, Decision("new", "bob"), alerts=[one[:10]])
    assert groups(store) == [("new", None, None, "person")]


def test_late_alert_that_joins_closed_group_with_another_reopens_it(store: Store) -> None:
    load(store, [[scan(0)]])
    load(store, [[scan(3)]])
    closed, open_ = ids(store)
    decide(store, CLOSED, groups=[closed])
    load(store, [[scan(1.5, "unsafe")]])
    assert groups(store) == [("new", None, None, "new_alert")]
    assert rows(store, "SELECT old_group_id::VARCHAR FROM group_aliases") == [(open_,)]
    decide(store, CLOSED, groups=[open_[:8]])  # an ended id stands for the group that took the alerts over
    assert groups(store) == [("closed", "benign", None, None)]


def test_previous_close_reason_is_that_of_previous_group(store: Store) -> None:
    load(store, [[scan(0), scan(10)]])
    decide(store, CLOSED, groups=ids(store)[:1])
    told = groups(store, "previous_group_id::VARCHAR, previous_close_reason, times_seen_before")
    assert told == [(None, None, 0), (ids(store)[0], "benign", 1)]


def test_assignee_remains_until_changed(store: Store) -> None:
    load(store, [[scan(0)]])
    decide(store, WORKING, groups=ids(store))
    load(store, [[scan(1)]])
    decide(store, CLOSED, groups=ids(store))
    assert rows(store, "SELECT DISTINCT assignee FROM alerts") == [("zoe",)]
    decide(store, Decision("new", "ann"), groups=ids(store))
    assert groups(store, "status, assignee") == [("new", None)]


REFUSED = [
    Decision("closed", "ann"),
    Decision("in_progress", "ann", "benign"),
    Decision("new", "ann"),
    Decision("in_progress", " "),
]


@pytest.mark.parametrize("decision", REFUSED)
def test_invalid_decision_is_refused(store: Store, decision: Decision) -> None:
    load(store, [[scan(0)]])
    with pytest.raises(TriageRefused):
        decide(store, decision, groups=ids(store))
    assert rows(store, "SELECT * FROM triage_log") == []


def test_one_invalid_id_refuses_all(store: Store) -> None:
    load(store, [[scan(0), scan(10)]])
    first, second = ids(store)
    with pytest.raises(TriageRefused, match="beef"):
        decide(store, CLOSED, groups=[first, "beef"])
    with pytest.raises(TriageRefused):
        decide(store, CLOSED, groups=[first], alerts=[""])
    with pytest.raises(TriageRefused):
        decide(store, CLOSED)
    decide(store, CLOSED, groups=[first])
    with pytest.raises(TriageRefused, match=f"{first} .*closed as benign"):
        decide(store, CLOSED, groups=[second, first])
    assert groups(store, "status") == [("closed",), ("new",)]
    decide(store, CLOSED._replace(close_reason="duplicate"), groups=[first])
    assert groups(store, "close_reason") == [("duplicate",), (None,)]


def test_filter_decides_only_on_the_alerts_found(store: Store) -> None:
    load(store, [[scan(0, "unsafe"), scan(1), scan(10, "unsafe", sender="Eve@Other.example".lower())]])
    found = find_alerts(store, Filter(priority="medium", before=scan(5)["detected_at"]), CLOSED)
    assert (len(found.alerts), found.groups) == (1, 1)
    load(store, [[scan(0.5, "unsafe")]])  # arrives before the person confirms
    assert decide(store, CLOSED, found=found).alerts == 1
    assert rows(store, "SELECT status FROM alerts ORDER BY detected_at") == [("closed",), ("new",), ("new",), ("new",)]
    with pytest.raises(TriageRefused):
        decide(store, CLOSED, found=found)
    assert len(find_alerts(store, Filter(sender_domain="OTHER.example"), CLOSED).alerts) == 1
    assert len(find_alerts(store, Filter(file_sha256=HASH.upper()), CLOSED).alerts) == 3
    with pytest.raises(TriageRefused):
        find_alerts(store, Filter(tenant="other"), CLOSED)
    with pytest.raises(TriageRefused):
        find_alerts(store, Filter(), CLOSED)


def test_alerts_that_no_longer_match_the_filter_are_skipped(store: Store) -> None:
    names = ("rises", "closed", "hidden", "stays")
    load(store, [[scan(3 * n, "unsafe", file_name=each, sender=f"{each}@x.example") for n, each in enumerate(names)]])
    by_name = dict(rows(store, "SELECT file_name, alert_id::VARCHAR FROM alerts"))
    found = find_alerts(store, Filter(priority="medium"), CLOSED)
    load(store, [[scan(0, file_name="rises", sender="rises@x.example", read=1001)]])
    decide(store, Decision("closed", "bob", "true_positive"), alerts=[by_name["closed"]])
    add(store, Entry("sender", "hidden@x.example", "known", "bob"))
    assert (len(found.alerts), decide(store, CLOSED, found=found).alerts) == (4, 1)
    assert rows(store, "SELECT file_name, priority, close_reason FROM alerts ORDER BY detected_at") == [
        ("rises", "high", None), ("closed", "medium", "true_positive"), ("stays", "medium", "benign"),
    ]  # fmt: skip


def test_concurrent_decisions_during_polls_are_all_stored(store: Store) -> None:
    load(store, [[scan(number * 3, file_name=str(number)) for number in range(8)]])
    wanted = ids(store)
    refused: list[str] = []

    def work(by: str, mine: list[str]) -> None:
        for each in mine:
            try:
                decide(open_store(store.settings), Decision("closed", by, "benign"), groups=[each])
            except TriageRefused as error:
                refused.append(str(error))

    def poll() -> None:
        for number in range(6):
            load(open_store(store.settings), [[scan(100 + number * 3)]])

    # Both decide on the first two groups: one of them is refused.
    shares = [wanted[:5], wanted[:2] + wanted[5:]]
    threads = [threading.Thread(target=work, args=(f"person {number}", mine)) for number, mine in enumerate(shares)]
    threads.append(threading.Thread(target=poll))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 2
    assert all("closed as benign" in each for each in refused)
    assert rows(store, "SELECT count(*), count(DISTINCT alert_id), count(DISTINCT decision_id) FROM triage_log") == [
        (8, 8, 8)
    ]
    assert rows(store, "SELECT status, count(*) FROM alert_groups GROUP BY ALL ORDER BY ALL") == [
        ("closed", 8),
        ("new", 6),
    ]
    with store.reader() as reader:  # published, all of it
        assert reader.rows("SELECT count(*) FROM alert_groups WHERE status = 'closed'") == [(8,)]
