"""The allow-list: what it hides, from adding to expiry, in every relation and figure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import EntryRefused, TriageRefused
from tasks.ingest.pull_session import begin
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add, preview_entry, remove
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tasks.triage.suppression import HiddenCounts
from tests.scans import HASH, START, begun, content, load, rows, scan, source

GOOD = {"sender": "news@good.example"}
OF_GOOD = Entry("sender_domain", "good.example", "our newsletter", "ann")
TOMORROW = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, group_gap_hours=2, group_span_hours=6)


def groups(store: Store, columns: str = "alert_count, suppressed_count, priority, exposure_count") -> list[Any]:
    return rows(store, f"SELECT {columns} FROM alert_groups ORDER BY first_detected_at")


def expired(store: Store) -> None:
    """The clock passes every expiry."""
    with store.transaction() as transaction:
        transaction.run(
            "UPDATE internal.allow_list SET expires_at = $past WHERE expires_at IS NOT NULL", {"past": START}
        )


@pytest.mark.parametrize(
    ("kind", "value"), [("hash", HASH.upper()), ("sender", " News@good.example"), ("sender_domain", "@good.example")]
)
def test_entry_hides_matching_alerts(store: Store, kind: Any, value: str) -> None:
    load(store, [[scan(0, **GOOD), scan(1, file_sha256="cd" * 32)]])
    entry = Entry(kind, value, "known", "ann")
    assert preview_entry(store, entry) == HiddenCounts(1, 1)
    entry_id, hidden = add(store, entry)
    assert hidden == HiddenCounts(1, 1)
    assert rows(store, "SELECT sender FROM alerts") == [("eve@evil.example",)]
    assert rows(store, "SELECT sender, entry_id, reason, expires_at FROM suppressed_alerts") == [
        ("news@good.example", entry_id, "known", None)
    ]
    assert groups(store) == [(1, 0, "high", 0)]
    assert rows(store, "SELECT active, hidden_count FROM allow_list") == [(True, 1)]


def test_partly_hidden_group_counts_visible_alerts(store: Store) -> None:
    low = {"recipient": "bob@contoso.example", "response": "none"}
    load(store, [[scan(0, response="release", **GOOD), scan(1, "unsafe", **low)]])
    before = rows(store, "SELECT alert_id, group_id FROM alerts ORDER BY ALL")
    add(store, OF_GOOD)
    columns = (
        "alert_count, suppressed_count, recipient_count, recipients, senders, verdicts, released_count, priority, "
    )
    columns += "worst_disposition, first_detected_at = last_detected_at, responses[1].count"
    assert groups(store, columns) == [
        (1, 1, 1, ["bob@contoso.example"], ["eve@evil.example"], ["unsafe"], 0, "medium", "no_action", True, 1)
    ]
    after = rows(
        store,
        "SELECT alert_id, group_id FROM alerts UNION ALL SELECT alert_id, group_id FROM suppressed_alerts ORDER BY ALL",
    )
    assert after == before


def test_membership_is_independent_of_suppression(store: Store) -> None:
    """Alerts 0, 2, 4: hiding the first or the one between leaves one group, also for what comes later."""
    add(store, OF_GOOD)
    load(store, [[scan(0, **GOOD), scan(2), scan(4, **GOOD), scan(6)]])
    load(store, [[scan(5.5), scan(6.5)]])
    assert groups(store, "alert_count, suppressed_count") == [(3, 2), (1, 0)]  # 6.5 is more than 6 h after the hidden 0
    remove(store, [rows(store, "SELECT entry_id::VARCHAR FROM allow_list")[0][0]])
    assert groups(store, "alert_count, suppressed_count") == [(5, 0), (1, 0)]


def test_removed_entry_shows_alerts_again(store: Store) -> None:
    load(store, [[scan(0), scan(1, **GOOD), scan(1, "safe", recipient="bob@contoso.example")]])
    shown = "SELECT * EXCLUDE (last_changed_at) FROM {} ORDER BY ALL"
    relations = ("alert_groups", "alerts", "exposures", "group_changes", "group_aliases")
    before = [rows(store, shown.format(name) if name.startswith("alert") else f"FROM {name}") for name in relations]
    entry_id, _ = add(store, Entry("hash", HASH, "known", "ann"))
    assert rows(store, "SELECT * FROM alerts UNION ALL BY NAME SELECT * FROM alert_groups") == []
    assert remove(store, [str(entry_id)[:8]]).shown_again == 2
    after = [rows(store, shown.format(name) if name.startswith("alert") else f"FROM {name}") for name in relations]
    assert after == before


def test_new_alerts_are_hidden_when_loaded(store: Store) -> None:
    add(store, OF_GOOD)
    add(store, OF_GOOD._replace(kind="hash", value=HASH, tenant="other"))
    loaded = load(store, [[scan(0, **GOOD), scan(1)]])
    assert (loaded.alerts, loaded.suppressed) == (2, 1)
    assert groups(store) == [(1, 1, "high", 0)]
    assert load(store, [[scan(0, response="block", read=1001, **GOOD)]]).suppressed == 0
    assert rows(store, "SELECT response FROM suppressed_alerts") == [("block",)]


def test_entry_ends_at_first_run_after_expiry(store: Store) -> None:
    load(store, [[scan(0), scan(1, **GOOD)]])
    add(store, OF_GOOD._replace(expires_at=datetime.now(UTC) + TOMORROW))
    assert begin(store, source(), datetime.now(UTC)).shown_again == 0
    decide(store, Decision("closed", "ann", "benign"), groups=[groups(store, "group_id::VARCHAR")[0][0]])
    assert rows(store, "SELECT count(*) FROM triage_log") == [(1,)]  # what was hidden was not seen
    expired(store)
    revision = store.published_revision()
    assert begin(store, source(), datetime.now(UTC)).shown_again == 1
    assert store.published_revision() != revision
    assert groups(store, "alert_count, status, reopened_by") == [(2, "new", "suppression_ended")]
    assert rows(store, "SELECT active, ended_at IS NOT NULL, hidden_count FROM allow_list") == [(False, True, 0)]
    assert begin(store, source(), datetime.now(UTC)).shown_again == 0


def test_decision_after_expiry_excludes_alerts_hidden_before(store: Store) -> None:
    load(store, [[scan(0), scan(1, **GOOD)]])
    add(store, OF_GOOD._replace(expires_at=datetime.now(UTC) + TOMORROW))
    expired(store)
    group = groups(store, "group_id::VARCHAR")[0][0]
    assert decide(store, Decision("closed", "ann", "benign"), groups=[group]).alerts == 1
    assert groups(store, "alert_count, status, reopened_by") == [(2, "new", "suppression_ended")]


def test_alert_of_two_entries_is_hidden_until_both_end(store: Store) -> None:
    load(store, [[scan(0, **GOOD)]])
    first, _ = add(store, OF_GOOD)
    assert add(store, Entry("hash", HASH, "known", "bob"))[1] == HiddenCounts(0, 0)
    assert remove(store, [str(first)]).shown_again == 0
    assert rows(store, "SELECT reason FROM suppressed_alerts") == [("known",)]
    assert remove(store, [rows(store, "SELECT entry_id::VARCHAR FROM allow_list WHERE active")[0][0]]).shown_again == 1


def test_hidden_alert_does_not_make_hash_dangerous(store: Store) -> None:
    low = scan(1, "safe", recipient="bob@contoso.example")
    loaded = load(store, [[scan(0, "unknown"), low]])
    assert loaded.exposures == 0
    loaded = load(store, [[scan(0.5, **GOOD)]])
    assert (loaded.exposures, groups(store)) == (1, [(2, 0, "high", 1)])
    entry_id, _ = add(store, OF_GOOD)
    assert groups(store) == [(1, 1, "medium", 0)]
    assert rows(store, "SELECT * FROM exposures") == []
    assert load(store, [[low | {"recipient": "cid@contoso.example"}]]).exposures == 0
    remove(store, [str(entry_id)])
    assert groups(store) == [(2, 0, "high", 2)]
    assert load(store, [[low | {"recipient": "dan@contoso.example"}]]).exposures == 1
    assert load(store, [[scan(0.5, "safe", read=1001, **GOOD)]]).exposures == 0
    assert rows(store, "SELECT * FROM exposures") == []


def test_recipient_with_only_hidden_alert_is_exposed(store: Store) -> None:
    """Nobody looks at the hidden alert: the scan beside it counts as if there were none."""
    bob = {"recipient": "bob@contoso.example"}
    load(store, [[scan(0), scan(0.5, **GOOD, **bob), scan(1, "safe", **bob)]])
    assert groups(store, "alert_count, exposure_count") == [(2, 0)]
    add(store, OF_GOOD)
    assert groups(store, "alert_count, exposure_count") == [(1, 1)]
    assert rows(store, "SELECT recipient, also_alerted FROM exposures") == [("bob@contoso.example", False)]


def test_decision_on_hidden_group_or_alert_is_refused(store: Store) -> None:
    load(store, [[scan(0, **GOOD)]])
    group, alert = rows(store, "SELECT group_id::VARCHAR, alert_id::VARCHAR FROM alerts")[0]
    add(store, OF_GOOD)
    for what in ({"groups": [group]}, {"alerts": [alert]}):
        with pytest.raises(TriageRefused, match="allow-list"):
            decide(store, Decision("closed", "ann", "benign"), **what)


REFUSED = [
    OF_GOOD._replace(kind="hash"),
    OF_GOOD._replace(kind="sender"),
    OF_GOOD._replace(value="x@y.example"),
    OF_GOOD._replace(reason=" "),
    OF_GOOD._replace(expires_at=START),
    OF_GOOD._replace(value="Good.Example "),
]


@pytest.mark.parametrize("entry", REFUSED)
def test_invalid_entry_is_refused(store: Store, entry: Entry) -> None:
    add(store, OF_GOOD)
    before = content(store)
    for refused in (preview_entry, add):
        with pytest.raises(EntryRefused):
            refused(store, entry)
    with pytest.raises(EntryRefused, match="zz"):
        remove(store, ["zz"])
    assert content(store) == before
