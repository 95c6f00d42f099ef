"""Notifications: one event for each group and change, whatever the batches; digests; nothing is lost or sent twice."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.imports.run_import import import_exports
from tasks.ingest.coverage import Report, record_reports
from tasks.ingest.load import load_slice
from tasks.ingest.pull_session import begin
from tasks.maintenance.regroup import run_regroup
from tasks.maintenance.retention import run_retention
from tasks.notifications import connector_changes, outbox
from tasks.notifications.changes import record_changes
from tasks.notifications.events import OutboundEvent
from tasks.notifications.outbox import NotificationSource
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tasks.window import Slice
from tests.examples import examples
from tests.scans import HASH, HOUR, START, Reading, begun, frame, load, load_into, rows, scan, source

NOW = datetime.now(UTC).replace(microsecond=0)
HOURS = (NOW - START) / HOUR
POLL = Slice(NOW - HOUR, NOW, "poll")
BACKFILL = Slice(NOW - HOUR, NOW, "backfill")
OURS = NotificationSource(source().connector_id)
A, B = "aa" * 32, "bb" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path)


def seen(ago: float = 1, verdict: str = "malicious", **fields: Any) -> Reading:
    return scan(HOURS - ago, verdict, read=HOURS, **fields)


def poll(store: Store, *readings: Reading, slice_: Slice = POLL, number: int = 1, tenant: str = "default") -> None:
    load(store, [readings], source(number, tenant), slice_=slice_)


def claim(store: Store, after: timedelta = timedelta(), source: NotificationSource = OURS) -> list[OutboundEvent]:
    with store.transaction() as transaction:
        return outbox.claim(transaction, source, store.settings, NOW + timedelta(minutes=1) + after)


def send_pending(
    store: Store, after: timedelta = timedelta(), source: NotificationSource = OURS
) -> list[OutboundEvent]:
    found = claim(store, after, source)
    with store.transaction() as transaction:
        outbox.mark_sent(transaction, found, NOW + timedelta(minutes=1) + after)
    return found


def names_of(events: Iterable[OutboundEvent]) -> list[str]:
    """Names of events, with a mark on those that become messages."""
    marks = {"true": "!", "false": ""}
    return sorted(
        event.name.removeprefix("attachment-alerts.") + marks[event.resource["attachment-alerts.urgent"]]
        for event in events
    )


def test_each_group_and_change_is_one_event(store: Store) -> None:
    poll(store, seen(3, "unknown"), seen(2, "unknown", recipient="bob@contoso.example"))
    assert names_of(send_pending(store)) == ["group.opened"]
    poll(store, seen(3, "unknown", recipient="carl@contoso.example"))
    assert names_of(send_pending(store)) == []
    poll(store, seen(1), seen(1, recipient="bob@contoso.example"))
    assert names_of(send_pending(store)) == ["group.raised!"]
    poll(store, seen(1, recipient="dan@contoso.example"))
    assert names_of(send_pending(store)) == []
    poll(store, seen(1, "clean", recipient="eve@contoso.example"), seen(2, "clean", recipient="fay@contoso.example"))
    assert names_of(send_pending(store)) == ["exposure.found!"]
    poll(store, seen(1, recipient="gus@contoso.example", response="released"))
    assert names_of(send_pending(store)) == ["attachment.released!"]
    assert names_of(send_pending(store)) == []


def test_group_event_payload_is_ids_and_counts(store: Store) -> None:
    poll(store, seen(2), seen(1, recipient="bob@contoso.example"), seen(1, "clean", recipient="eve@contoso.example"))
    exposure, event = sorted(send_pending(store), key=lambda event: event.name)
    assert names_of([exposure, event]) == ["exposure.found", "group.opened!"]  # one message, which counts the exposure
    assert event.payload == {
        "tenant": "default", "group_id": event.payload["group_id"], "priority": "high", "file_sha256": HASH,
        "alerts": 2, "recipients": 2, "users": None, "devices": None, "exposed": 1, "released": 0, "cause": "poll",
        "first_detected_at": (NOW - 2 * HOUR).isoformat(), "last_detected_at": (NOW - HOUR).isoformat(),
    }  # fmt: skip
    assert event.resource["prefect.resource.id"] == f"attachment-alerts.group.{event.payload['group_id']}"
    assert event.event_id in {row[0] for row in rows(store, "SELECT event_id FROM internal.notices")}


@pytest.mark.parametrize(
    ("slice_", "ago", "names"),
    [
        (POLL, 1, ["attachment.released!", "group.opened!", "group.opened!"]),
        (POLL, 25, ["digest!"]),  # as after an outage; the digest counts the releases
        (Slice(START, START + HOUR, "poll"), 1, ["digest!"]),
        (BACKFILL, 1, ["digest!"]),
        (Slice(NOW - HOUR, NOW, "recheck"), 1, ["digest!"]),
    ],
)
def test_bulk_or_late_alerts_become_one_digest(store: Store, slice_: Slice, ago: float, names: list[str]) -> None:
    poll(store, seen(ago, file_sha256=A), seen(ago, response="released", file_sha256=B), slice_=slice_)
    events = send_pending(store, source=OURS._replace(backfill=slice_ == BACKFILL))
    assert names_of(events) == names


def test_digest_with_urgent_change_is_urgent(store: Store) -> None:
    poll(store, seen(1, "unknown", file_sha256=A), slice_=BACKFILL)
    poll(store, seen(1, "unknown", file_sha256=B), slice_=BACKFILL)
    [digest] = send_pending(store, source=OURS._replace(backfill=True))
    assert names_of([digest]) == ["digest"]
    assert digest.payload["groups"] == 2
    assert digest.payload["changes"] == {"group_opened": 2}
    poll(store, seen(0.5, file_sha256=A), slice_=BACKFILL)
    [digest] = send_pending(store, source=OURS._replace(backfill=True))
    assert names_of([digest]) == ["digest!"]
    assert digest.payload["changes"] == {"group_raised": 1}


def test_poll_does_not_send_the_digest_of_a_running_backfill(store: Store) -> None:
    poll(store, seen(1), slice_=BACKFILL)
    assert names_of(send_pending(store)) == []
    assert names_of(send_pending(store, timedelta(hours=7))) == ["digest!"]  # it was killed


@pytest.mark.parametrize("cause", ["poll", "recheck", "backfill", "first_look_back"])
def test_release_in_several_slices_is_one_change_of_its_group(store: Store, cause: str) -> None:
    """Each recipient and each slice adds a notice; the group has one message, and the digest counts it once."""
    slice_ = Slice(START, START + HOUR, "poll") if cause == "first_look_back" else POLL._replace(trigger=cause)
    for hour in (3, 2, 1):
        people = [f"{name}{hour}@contoso.example" for name in ("ann", "bob")]
        poll(store, *[seen(hour, response="released", recipient=who) for who in people], slice_=slice_)
    kinds = "SELECT count(*) FROM internal.notices WHERE kind = 'released'"
    assert rows(store, kinds) == [(3,)]
    events = send_pending(store, source=OURS._replace(backfill=cause == "backfill"))
    if cause == "poll":
        assert names_of(events) == ["attachment.released!", "group.opened!"]
        assert [event.payload["released"] for event in events] == [6, 6]
    else:
        assert names_of(events) == ["digest!"]
        assert events[0].payload["changes"] == {"group_opened": 1, "released": 1}
        assert events[0].payload["causes"] == {cause: 2}
    assert send_pending(store, timedelta(hours=1)) == []


def test_release_after_a_lost_claim_is_another_event_but_no_second_message(store: Store) -> None:
    """The server may have the first event and would drop a repeat; the message counts what is true when it is sent."""
    poll(store, seen(1, response="released"))
    first = claim(store)
    poll(store, seen(1, response="released", recipient="bob@contoso.example"))
    again = send_pending(store, timedelta(minutes=15))
    assert {event.event_id for event in first} < {event.event_id for event in again}
    assert names_of(again) == ["attachment.released", "attachment.released!", "group.opened!"]
    assert {event.payload["released"] for event in again} == {2}


@pytest.mark.parametrize(
    ("days", "names"), [(3, ["digest!"]), (0.1, ["attachment.released!"] * 20 + ["group.opened!"] * 20)]
)
def test_poll_after_an_outage_sends_a_digest_of_what_is_old(store: Store, days: float, names: list[str]) -> None:
    poll(store, *[seen(24 * days, file_sha256=f"{number:064x}", response="released") for number in range(20)])
    assert names_of(send_pending(store)) == names


def test_many_groups_in_one_poll_are_one_event_each(store: Store) -> None:
    poll(store, *[seen(1, file_sha256=f"{number:064x}", response="released") for number in range(30)])
    assert Counter(names_of(send_pending(store))) == {"group.opened!": 30, "attachment.released!": 30}


def test_pending_notices_of_an_older_version_are_sent_once(store: Store) -> None:
    """It gave several releases one event, and put what exceeded an hourly quota into a digest."""
    poll(store, *[seen(1, file_sha256=f"{number:064x}", response="released") for number in range(3)])
    shared, quota = UUID(int=7), UUID(int=8)
    with store.transaction() as transaction:
        transaction.run(
            "UPDATE internal.notices SET urgent = kind = 'released', claimed_at = $then, digest = kind <> 'released', "
            "event_id = CASE WHEN kind = 'released' THEN $shared ELSE $quota END",
            {"shared": shared, "quota": quota, "then": NOW - HOUR},
        )
    events = send_pending(store)
    assert names_of(events) == ["attachment.released!"] * 3 + ["digest"]
    assert len({event.payload["group_id"] for event in events[:3]}) == 3
    assert events[3].event_id == quota
    assert send_pending(store, timedelta(hours=1)) == []


def test_notices_of_a_killed_run_are_sent_once_by_the_next(store: Store) -> None:
    poll(store, seen(1, file_sha256=A), seen(30, file_sha256=B))
    first = claim(store)  # and killed, perhaps before sending
    assert names_of(first) == ["digest!", "group.opened!"]
    assert claim(store, timedelta(minutes=5)) == []  # it may still be running
    poll(store, seen(30, file_sha256="cc" * 32))
    again = send_pending(store, timedelta(minutes=15))
    assert [event for event in again if event in first] == first
    assert names_of(again) == ["digest!", "digest!", "group.opened!"]
    assert send_pending(store, timedelta(hours=1)) == []


def test_events_that_wait_for_a_day_become_a_digest(store: Store) -> None:
    poll(store, *[seen(1, file_sha256=f"{number:064x}", response="released") for number in range(20)])
    assert len(claim(store)) == 40  # and the server does not accept them
    waiting = rows(store, "SELECT count(*) FROM waiting_messages WHERE block IS NULL")
    assert waiting == [(40,)]
    [digest] = send_pending(store, timedelta(days=2))
    assert (digest.payload["groups"], names_of([digest])) == (20, ["digest!"])
    assert rows(store, "SELECT count(*) FROM waiting_messages") == [(0,)]


def test_only_the_last_state_of_a_connector_is_sent_after_a_day(store: Store) -> None:
    with store.transaction() as transaction:
        for hour, kind in enumerate(("lost", "back", "lost")):
            transaction.run(
                "INSERT INTO internal.notices BY NAME SELECT uuid() AS notice_id, 'default' AS tenant, $kind AS kind, "
                "$id AS connector_id, 'poll' AS cause, false AS digest, $at AS \"at\"",
                {"kind": f"connector_{kind}", "id": OURS.connector_id, "at": NOW + hour * HOUR},
            )
    assert names_of(send_pending(store, timedelta(days=2))) == ["connector.lost!"]


def test_untriaged_high_group_gets_one_reminder(store: Store) -> None:
    poll(store, seen(1, file_sha256=A), seen(1, "unknown", file_sha256=B), seen(30, file_sha256="cc" * 32))
    assert names_of(send_pending(store)) == ["digest!", "group.opened", "group.opened!"]
    assert names_of(send_pending(store, timedelta(hours=3, minutes=59))) == []
    assert names_of(send_pending(store, timedelta(hours=4, minutes=1))) == ["digest!", "group.still-new!"]
    assert names_of(send_pending(store, timedelta(hours=9))) == []


def test_new_exposure_is_sent_although_another_ended(store: Store) -> None:
    bob, cyd = "bob@contoso.example", "cyd@contoso.example"
    poll(store, seen(2), seen(1, "clean", recipient=bob))
    send_pending(store)
    poll(store, seen(1, recipient=bob), seen(1, "clean", recipient=cyd))  # bob's scan is an alert now
    assert rows(store, "SELECT exposure_count FROM alert_groups") == [(1,)]
    assert names_of(send_pending(store)) == ["exposure.found!"]
    poll(store, seen(1, "clean", recipient=cyd, response="release"), seen(0.5, "clean", recipient=bob))
    assert names_of(send_pending(store)) == []  # the same people


@pytest.mark.parametrize("file_sha256", [HASH, None])
def test_release_is_sent_although_another_attachment_is_held_again(store: Store, file_sha256: str | None) -> None:
    one = {"recipient": "bob@contoso.example", "file_sha256": file_sha256}
    other = one | {"recipient": "cyd@contoso.example"}
    poll(store, seen(2, response="released", **one), seen(1, **other))
    send_pending(store)
    later = {"fetched_at": NOW + HOUR}
    changed = seen(2, **one) | later, seen(1, response="released", **other) | later
    with store.transaction() as transaction:  # in two batches
        load_into(transaction, store.settings, [changed[1:], changed[:1]], slice_=POLL)
    assert rows(store, "SELECT released_count FROM alert_groups") == [(1,)]
    assert names_of(send_pending(store)) == ["attachment.released!"]


def test_release_is_sent_when_its_file_becomes_dangerous(store: Store) -> None:
    poll(store, seen(2, "unknown", response="released"))
    send_pending(store)
    poll(store, seen(2, response="released") | {"fetched_at": NOW + HOUR})
    assert names_of(send_pending(store)) == ["attachment.released!", "group.raised!"]


def test_release_is_sent_although_a_later_step_changes_its_alert(store: Store) -> None:
    poll(store, seen(2, response="released"), seen(1))
    send_pending(store)
    with store.transaction() as transaction:
        for number, subject in enumerate(("one", "two"), 1):
            again = frame([seen(1, response="released", subject=subject) | {"fetched_at": NOW + number * HOUR}])
            load_slice(transaction, source(), [again], [], [], store.settings)
        record_changes(transaction, "poll", datetime.now(UTC), source().connector_id)
    assert names_of(send_pending(store)) == ["attachment.released!"]


def test_merged_groups_are_not_sent_again(store: Store) -> None:
    poll(store, seen(23.5, response="released"), seen(2, response="released", recipient="bob@contoso.example"))
    poll(store, seen(47, "clean", recipient="eve@contoso.example"))
    assert names_of(send_pending(store)) == ["attachment.released!", "exposure.found", "group.opened!"]
    poll(store, seen(50, recipient="carl@contoso.example"))
    send_pending(store)
    poll(store, seen(30, "unknown", recipient="dan@contoso.example"))  # merges the two groups
    assert rows(store, "SELECT count(*) FROM alert_groups") == [(1,)]
    assert names_of(send_pending(store)) == []
    run_regroup(store, None, 3, None, apply=True)
    assert names_of(send_pending(store)) == ["digest!"]


def test_reopened_group_is_sent(store: Store) -> None:
    poll(store, seen(2), seen(2, "unknown", file_sha256=A))
    groups = [event.payload["group_id"] for event in send_pending(store)]
    decide(store, Decision("closed", "ann", "benign"), groups=groups)
    poll(store, seen(1, recipient="bob@contoso.example"), seen(1, "unknown", file_sha256=A, recipient="bob@x.example"))
    assert names_of(send_pending(store)) == ["group.reopened", "group.reopened!"]
    decide(store, Decision("closed", "ann", "benign"), groups=groups[:1])
    decide(store, Decision("in_progress", "ann"), groups=groups[:1])
    assert names_of(send_pending(store)) == []  # the person who reopened it knows
    assert names_of(send_pending(store, timedelta(hours=5))) == []  # no reminder either


def test_exposure_count_step_does_not_hide_changes_of_the_next_step(store: Store) -> None:
    poll(store, seen(2, response="released"), seen(1))
    send_pending(store)
    with store.transaction() as transaction:
        for change in (seen(1, "clean", recipient="eve@contoso.example"), seen(1, response="released")):
            readings = frame([change | {"fetched_at": NOW + HOUR}])
            load_slice(transaction, source(), [readings], [], [], store.settings)
        record_changes(transaction, "poll", datetime.now(UTC), source().connector_id)
    assert names_of(send_pending(store)) == ["attachment.released!", "exposure.found!"]


@pytest.mark.parametrize("ago", [2, 80])
def test_expired_allow_list_entry_is_sent(store: Store, ago: float) -> None:
    add(store, Entry("sender", seen()["sender"], "known", "ann", datetime.now(UTC) + HOUR))
    poll(store, seen(ago), seen(ago - 1, response="released"))
    assert names_of(send_pending(store)) == []
    with store.transaction() as transaction:  # an hour passes
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    begin(store, source(), NOW)
    assert names_of(send_pending(store)) == ["attachment.released!", "suppression.expired!"]
    assert names_of(send_pending(store)) == []
    assert names_of(send_pending(store, timedelta(hours=4, minutes=1))) == ["group.still-new!"]


@pytest.mark.parametrize(
    "change",
    [
        lambda store: import_exports(store, "default", [], datetime.now(UTC)),
        lambda store: run_retention(store, apply=True),
        lambda store: run_regroup(store, None, None, 1, apply=True),
    ],
)
def test_change_without_prefect_leaves_its_messages_for_the_next_run(
    store: Store, change: Callable[[Store], object]
) -> None:
    add(store, Entry("sender", seen()["sender"], "known", "ann", datetime.now(UTC) + HOUR))
    poll(store, seen(2))
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    change(store)
    poll(store)
    assert names_of(send_pending(store)) == ["suppression.expired!"]
    assert send_pending(store) == []


def test_several_groups_of_an_expired_allow_list_entry_are_one_digest(store: Store) -> None:
    add(store, Entry("sender", seen()["sender"], "known", "ann", datetime.now(UTC) + HOUR))
    poll(store, *[seen(2, file_sha256=f"{number:064x}") for number in range(20)])
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    begin(store, source(), NOW)
    [digest] = send_pending(store)
    assert names_of([digest]) == ["digest!"]
    assert digest.payload["changes"] == {"suppression_expired": 20}


def test_digests_do_not_cross_tenants(tmp_path: Path) -> None:
    store = begun(tmp_path, source(1, "one"), source(2, "two"))
    for number, tenant in ((1, "one"), (2, "two")):
        poll(store, seen(30), slice_=POLL, number=number, tenant=tenant)
    found = [
        *send_pending(store, source=NotificationSource(UUID(int=1))),
        *send_pending(store, source=NotificationSource(UUID(int=2))),
    ]
    assert [(event.payload["tenant"], event.payload["groups"]) for event in found] == [("one", 1), ("two", 1)]


def test_connector_lost_quiet_back_are_sent_once_each(store: Store) -> None:
    def attempt(state: Any, **more: Any) -> list[str]:
        at = datetime.now(UTC)
        with store.transaction() as transaction:
            record_reports(transaction, source(), [Report(START, NOW, "poll", state, at, at, **more)])
            transaction.run("UPDATE internal.coverage SET start_at = $start", {"start": START})
            connector_changes.record_connector_change(transaction, source(), "poll", NOW)
        return [event.name.removeprefix("attachment-alerts.connector.") for event in send_pending(store)]

    poll(store, seen(30))
    send_pending(store)
    assert attempt("complete", newest_at=NOW) == []
    assert attempt("failed", error="no route", error_kind="Unreachable") == ["lost"]
    assert attempt("failed", error="no route", error_kind="Unreachable") == []
    assert attempt("complete") == ["back"]
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.windows SET newest_at = $old", {"old": NOW - 30 * HOUR})
    assert attempt("complete") == ["quiet"]
    assert attempt("complete") == []
    assert attempt("complete", newest_at=NOW) == ["back"]


class RolledBack(Exception):
    """Ends an example and rolls its transaction back."""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["malicious", "unknown", "clean"]),
            st.floats(0.1, 20),
            st.booleans(),
            st.booleans(),
        ),
        max_size=8,
    )
)
@examples(4)
def test_each_change_is_sent_once_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory, history: Sequence[tuple[int, str, float, bool, bool]]
) -> None:
    """Scans of three files; after each the batch may end, and after a batch a run may send."""
    sent: list[OutboundEvent] = []
    batch: list[Reading] = []

    def load_and_send(transaction: Transaction, *, sends: bool) -> None:
        load_into(transaction, store.settings, [batch], slice_=POLL)
        batch.clear()
        if sends:
            found = outbox.claim(transaction, OURS, store.settings, NOW)
            outbox.mark_sent(transaction, found, NOW)
            sent.extend(found)

    store = begun(tmp_path_factory.mktemp("store"))
    with suppress(RolledBack), store.transaction() as transaction:
        for number, (file, verdict, ago, ends, sends) in enumerate(history):
            who = f"{number}@contoso.example"
            batch.append(seen(ago, verdict, file_sha256=f"{file:064x}", recipient=who))
            if ends:
                load_and_send(transaction, sends=sends)
        load_and_send(transaction, sends=True)
        groups = transaction.rows("SELECT group_id::VARCHAR, priority FROM alert_groups")
        raise RolledBack
    changes = Counter((event.payload["group_id"], *names_of([event])) for event in sent)
    assert all(times == 1 for (_, name), times in changes.items() if not name.startswith("exposure"))
    for group_id, priority in groups:
        names = {name for of, name in changes if of == group_id}
        assert len(names & {"group.opened", "group.opened!"}) == 1
        assert len(names & {"group.opened!", "group.raised!"}) == (priority == "high")
