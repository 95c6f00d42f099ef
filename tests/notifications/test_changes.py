"""What people are told: one message for each group and change, whatever the batches; digests; nothing twice or lost."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ingest.coverage import Report, record
from tasks.ingest.load import load_slice
from tasks.ingest.pull_session import begin
from tasks.maintenance.regroup import run_regroup
from tasks.notifications import changes as notices
from tasks.notifications import connector_changes, outbox
from tasks.notifications.events import OutboundEvent
from tasks.notifications.messages import messages
from tasks.notifications.outbox import NotificationSource
from tasks.store.connection import Transaction
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tasks.window import Slice
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


def poll(store: Store, *readings: Reading, piece: Slice = POLL, number: int = 1, tenant: str = "default") -> None:
    load(store, [readings], source(number, tenant), piece=piece)


def claim(store: Store, after: timedelta = timedelta(), teller: NotificationSource = OURS) -> list[OutboundEvent]:
    with store.transaction() as transaction:
        return outbox.claim(transaction, teller, store.settings, NOW + timedelta(minutes=1) + after)


def tell(store: Store, after: timedelta = timedelta(), teller: NotificationSource = OURS) -> list[OutboundEvent]:
    found = claim(store, after, teller)
    with store.transaction() as transaction:
        outbox.mark_sent(transaction, found, NOW + timedelta(minutes=1) + after)
    return found


def said(events: Iterable[OutboundEvent]) -> list[str]:
    """Names, with a mark where people are written to."""
    marks = {"true": "!", "false": ""}
    return sorted(
        each.name.removeprefix("attachment-alerts.") + marks[each.resource["attachment-alerts.urgent"]]
        for each in events
    )


def test_one_message_for_each_group_and_change(store: Store) -> None:
    poll(store, seen(3, "unknown"), seen(2, "unknown", recipient="bob@contoso.example"))
    assert said(tell(store)) == ["group.opened"]
    poll(store, seen(3, "unknown", recipient="carl@contoso.example"))
    assert said(tell(store)) == []
    poll(store, seen(1), seen(1, recipient="bob@contoso.example"))
    assert said(tell(store)) == ["group.raised!"]
    poll(store, seen(1, recipient="dan@contoso.example"))
    assert said(tell(store)) == []
    poll(store, seen(1, "clean", recipient="eve@contoso.example"), seen(2, "clean", recipient="fay@contoso.example"))
    assert said(tell(store)) == ["exposure.found!"]
    poll(store, seen(1, recipient="gus@contoso.example", response="released"))
    assert said(tell(store)) == ["attachment.released!"]
    assert said(tell(store)) == []


def test_what_an_event_says_is_ids_and_counts_only(store: Store) -> None:
    poll(store, seen(2), seen(1, recipient="bob@contoso.example"), seen(1, "clean", recipient="eve@contoso.example"))
    exposure, event = sorted(tell(store), key=lambda each: each.name)
    assert said([exposure, event]) == ["exposure.found", "group.opened!"]  # one message, which counts the exposure
    assert event.payload == {
        "tenant": "default", "group_id": event.payload["group_id"], "priority": "high", "file_sha256": HASH,
        "alerts": 2, "recipients": 2, "users": None, "devices": None, "exposed": 1, "released": 0, "cause": "poll",
        "first_detected_at": (NOW - 2 * HOUR).isoformat(), "last_detected_at": (NOW - HOUR).isoformat(),
    }  # fmt: skip
    assert event.resource["prefect.resource.id"] == f"attachment-alerts.group.{event.payload['group_id']}"
    assert event.event_id in {row[0] for row in rows(store, "SELECT told_with FROM internal.notices")}


@pytest.mark.parametrize(
    ("piece", "ago", "name"),
    [
        (POLL, 1, "group.opened!"),
        (POLL, 25, "digest!"),
        (Slice(START, START + HOUR, "poll"), 1, "digest!"),
        (BACKFILL, 1, "digest!"),
        (Slice(NOW - HOUR, NOW, "recheck"), 1, "digest!"),
    ],
)
def test_what_comes_in_bulk_or_late_is_a_digest(store: Store, piece: Slice, ago: float, name: str) -> None:
    poll(store, seen(ago, file_sha256=A), seen(ago, response="released", file_sha256=B), piece=piece)
    names = [name] if name == "digest!" else [name, name]
    assert said(tell(store, teller=OURS._replace(backfill=piece == BACKFILL))) == ["attachment.released!", *names]


def test_a_digest_is_urgent_if_something_in_it_is(store: Store) -> None:
    poll(store, seen(1, "unknown", file_sha256=A), piece=BACKFILL)
    poll(store, seen(1, "unknown", file_sha256=B), piece=BACKFILL)
    [digest] = tell(store, teller=OURS._replace(backfill=True))
    assert said([digest]) == ["digest"]
    assert digest.payload["groups"] == 2
    assert digest.payload["changes"] == {"group_opened": 2}
    poll(store, seen(0.5, file_sha256=A), piece=BACKFILL)
    [digest] = tell(store, teller=OURS._replace(backfill=True))
    assert said([digest]) == ["digest!"]
    assert digest.payload["changes"] == {"group_raised": 1}


def test_a_poll_leaves_a_running_backfill_its_digest(store: Store) -> None:
    poll(store, seen(1), piece=BACKFILL)
    assert said(tell(store)) == []
    assert said(tell(store, timedelta(hours=7))) == ["digest!"]  # it was killed, and nobody started it again


def test_a_flood_becomes_a_digest_and_counts_for_an_hour(store: Store) -> None:
    few = open_store(store.settings.model_copy(update={"notify_per_hour": 2}))
    poll(few, *[seen(1, file_sha256=f"{number:064x}") for number in range(5)])
    found = tell(few)
    assert said(found) == ["digest!", "group.opened!", "group.opened!"]
    assert next(each.payload["groups"] for each in found if each.name.endswith("digest")) == 3
    poll(
        few,
        seen(1, file_sha256=A),
        seen(1, file_sha256=B, response="released"),
        seen(1, "unknown", file_sha256="cc" * 32),
    )
    assert said(tell(few)) == ["attachment.released!", "digest!", "group.opened"]
    poll(few, seen(1, file_sha256="dd" * 32))
    assert said(tell(few, timedelta(minutes=61))) == ["group.opened!"]


def test_a_flood_of_releases_shares_events_and_each_stays_a_message(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SHARE", 3)
    poll(store, *[seen(1, file_sha256=f"{number:064x}", response="released") for number in range(7)], piece=BACKFILL)
    first, backfill = claim(store), OURS._replace(backfill=True)  # … and killed: perhaps sent, perhaps not
    assert said(first) == ["attachment.released!"] * 3
    assert [each.payload.get("groups", 1) for each in first] == [3, 3, 1]
    again = tell(store, timedelta(minutes=15), backfill)
    assert [each for each in again if each in first] == first
    texts = [text for each in first for text in messages(each.name, "7 groups", each.payload)]
    assert {text.subject for text in texts} == {"A dangerous attachment was released"}
    assert len({text.body for text in texts}) == 7
    assert tell(store, timedelta(hours=1), backfill) == []


def test_a_run_killed_before_it_told_or_before_it_knew_is_told_by_the_next_once(store: Store) -> None:
    poll(store, seen(1, file_sha256=A), seen(30, file_sha256=B))
    first = claim(store)  # … and killed: perhaps sent, perhaps not
    assert said(first) == ["digest!", "group.opened!"]
    assert claim(store, timedelta(minutes=5)) == []  # it may still be sending
    poll(store, seen(30, file_sha256="cc" * 32))
    again = tell(store, timedelta(minutes=15))
    assert [each for each in again if each in first] == first
    assert said(again) == ["digest!", "digest!", "group.opened!"]
    assert tell(store, timedelta(hours=1)) == []


def test_a_high_group_that_stays_new_is_reminded_of_once(store: Store) -> None:
    poll(store, seen(1, file_sha256=A), seen(1, "unknown", file_sha256=B), seen(30, file_sha256="cc" * 32))
    assert said(tell(store)) == ["digest!", "group.opened", "group.opened!"]
    assert said(tell(store, timedelta(hours=3, minutes=59))) == []
    assert said(tell(store, timedelta(hours=4, minutes=1))) == ["digest!", "group.still-new!"]
    assert said(tell(store, timedelta(hours=9))) == []


def test_who_is_exposed_anew_is_told_also_where_another_is_no_longer(store: Store) -> None:
    bob, cyd = "bob@contoso.example", "cyd@contoso.example"
    poll(store, seen(2), seen(1, "clean", recipient=bob))
    tell(store)
    poll(store, seen(1, recipient=bob), seen(1, "clean", recipient=cyd))  # bob's scan is an alert by now
    assert rows(store, "SELECT exposure_count FROM alert_groups") == [(1,)]
    assert said(tell(store)) == ["exposure.found!"]
    poll(store, seen(1, "clean", recipient=cyd, response="release"), seen(0.5, "clean", recipient=bob))
    assert said(tell(store)) == []  # the same people


@pytest.mark.parametrize("file_sha256", [HASH, None])
def test_a_release_is_told_also_where_another_is_held_again(store: Store, file_sha256: str | None) -> None:
    one = {"recipient": "bob@contoso.example", "file_sha256": file_sha256}
    other = one | {"recipient": "cyd@contoso.example"}
    poll(store, seen(2, response="released", **one), seen(1, **other))
    tell(store)
    later = {"fetched_at": NOW + HOUR}
    changed = seen(2, **one) | later, seen(1, response="released", **other) | later
    with store.transaction() as transaction:  # in two batches
        load_into(transaction, store.settings, [changed[1:], changed[:1]], piece=POLL)
    assert rows(store, "SELECT released_count FROM alert_groups") == [(1,)]
    assert said(tell(store)) == ["attachment.released!"]


def test_a_release_is_told_when_its_file_turns_out_to_be_dangerous(store: Store) -> None:
    poll(store, seen(2, "unknown", response="released"))
    tell(store)
    poll(store, seen(2, response="released") | {"fetched_at": NOW + HOUR})
    assert said(tell(store)) == ["attachment.released!", "group.raised!"]


def test_a_release_is_told_although_a_later_step_changes_its_alert_again(store: Store) -> None:
    poll(store, seen(2, response="released"), seen(1))
    tell(store)
    with store.transaction() as transaction:
        for number, subject in enumerate(("one", "two"), 1):
            again = frame([seen(1, response="released", subject=subject) | {"fetched_at": NOW + number * HOUR}])
            load_slice(transaction, source(), [again], [], [], store.settings)
        notices.record_changes(transaction, "poll", datetime.now(UTC), source().connector_id)
    assert said(tell(store)) == ["attachment.released!"]


def test_groups_that_only_share_their_alerts_out_anew_are_not_told_again(store: Store) -> None:
    poll(store, seen(23.5, response="released"), seen(2, response="released", recipient="bob@contoso.example"))
    poll(store, seen(47, "clean", recipient="eve@contoso.example"))
    assert said(tell(store)) == ["attachment.released!", "exposure.found", "group.opened!"]
    poll(store, seen(50, recipient="carl@contoso.example"))
    tell(store)
    poll(store, seen(30, "unknown", recipient="dan@contoso.example"))  # joins what were two groups
    assert rows(store, "SELECT count(*) FROM alert_groups") == [(1,)]
    assert said(tell(store)) == []
    run_regroup(store, None, 3, None, apply=True)
    assert said(tell(store)) == ["digest!"]


def test_a_closed_group_that_comes_back_is_told(store: Store) -> None:
    poll(store, seen(2), seen(2, "unknown", file_sha256=A))
    groups = [each.payload["group_id"] for each in tell(store)]
    decide(store, Decision("closed", "ann", "benign"), groups=groups)
    poll(store, seen(1, recipient="bob@contoso.example"), seen(1, "unknown", file_sha256=A, recipient="bob@x.example"))
    assert said(tell(store)) == ["group.reopened", "group.reopened!"]
    decide(store, Decision("closed", "ann", "benign"), groups=groups[:1])
    decide(store, Decision("in_progress", "ann"), groups=groups[:1])
    assert said(tell(store)) == []  # who opens a group again knows it
    assert said(tell(store, timedelta(hours=5))) == []  # … and nobody has to be reminded


def test_a_step_that_only_counts_exposures_hides_nothing_of_the_next(store: Store) -> None:
    poll(store, seen(2, response="released"), seen(1))
    tell(store)
    with store.transaction() as transaction:
        for change in (seen(1, "clean", recipient="eve@contoso.example"), seen(1, response="released")):
            readings = frame([change | {"fetched_at": NOW + HOUR}])
            load_slice(transaction, source(), [readings], [], [], store.settings)
        notices.record_changes(transaction, "poll", datetime.now(UTC), source().connector_id)
    assert said(tell(store)) == ["attachment.released!", "exposure.found!"]


@pytest.mark.parametrize("ago", [2, 80])
def test_what_is_hidden_is_told_when_it_is_shown_again(store: Store, ago: float) -> None:
    add(store, Entry("sender", seen()["sender"], "known", "ann", datetime.now(UTC) + HOUR))
    poll(store, seen(ago), seen(ago - 1, response="released"))
    assert said(tell(store)) == []
    with store.transaction() as transaction:  # an hour passes
        transaction.run("UPDATE internal.allow_list SET expires_at = $now", {"now": datetime.now(UTC)})
    begin(store, source(), NOW)
    assert said(tell(store)) == ["attachment.released!", "suppression.expired!"]
    assert said(tell(store)) == []
    assert said(tell(store, timedelta(hours=4, minutes=1))) == ["group.still-new!"]


def test_nothing_crosses_tenants(tmp_path: Path) -> None:
    store = begun(tmp_path, source(1, "one"), source(2, "two"))
    for number, tenant in ((1, "one"), (2, "two")):
        poll(store, seen(30), piece=POLL, number=number, tenant=tenant)
    found = [*tell(store, teller=NotificationSource(UUID(int=1))), *tell(store, teller=NotificationSource(UUID(int=2)))]
    assert [(each.payload["tenant"], each.payload["groups"]) for each in found] == [("one", 1), ("two", 1)]


def test_a_connector_is_lost_quiet_and_back_once_each(store: Store) -> None:
    def attempt(state: Any, **more: Any) -> list[str]:
        at = datetime.now(UTC)
        with store.transaction() as transaction:
            record(transaction, source(), [Report(START, NOW, "poll", state, at, at, **more)])
            transaction.run("UPDATE internal.coverage SET start_at = $start", {"start": START})
            connector_changes.record_connector_change(transaction, source(), "poll", NOW)
        return [each.name.removeprefix("attachment-alerts.connector.") for each in tell(store)]

    poll(store, seen(30))
    tell(store)
    assert attempt("complete", newest_at=NOW) == []
    assert attempt("failed", error="no route", error_kind="Unreachable") == ["lost"]
    assert attempt("failed", error="no route", error_kind="Unreachable") == []
    assert attempt("complete") == ["back"]
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.windows SET newest_at = $old", {"old": NOW - 30 * HOUR})
    assert attempt("complete") == ["quiet"]
    assert attempt("complete") == []
    assert attempt("complete", newest_at=NOW) == ["back"]


class Undone(Exception):
    """Ends an example: its transaction leaves nothing behind."""


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
@settings(max_examples=6, deadline=None)
def test_whatever_the_batches_each_change_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, history: Sequence[tuple[int, str, float, bool, bool]]
) -> None:
    """Scans of three files; after each the batch may end, and after a batch a run may tell."""
    told: list[OutboundEvent] = []
    batch: list[Reading] = []

    def load_and_tell(transaction: Transaction, *, tells: bool) -> None:
        load_into(transaction, store.settings, [batch], piece=POLL)
        batch.clear()
        if tells:
            found = outbox.claim(transaction, OURS, store.settings, NOW)
            outbox.mark_sent(transaction, found, NOW)
            told.extend(found)

    store = begun(tmp_path_factory.mktemp("store"))
    with suppress(Undone), store.transaction() as transaction:
        for number, (file, verdict, ago, ends, tells) in enumerate(history):
            who = f"{number}@contoso.example"
            batch.append(seen(ago, verdict, file_sha256=f"{file:064x}", recipient=who))
            if ends:
                load_and_tell(transaction, tells=tells)
        load_and_tell(transaction, tells=True)
        groups = transaction.rows("SELECT group_id::VARCHAR, priority FROM alert_groups")
        raise Undone
    changes = Counter((each.payload["group_id"], *said([each])) for each in told)
    assert all(times == 1 for (_, name), times in changes.items() if not name.startswith("exposure"))
    for group_id, priority in groups:
        names = {name for of, name in changes if of == group_id}
        assert len(names & {"group.opened", "group.opened!"}) == 1
        assert len(names & {"group.opened!", "group.raised!"}) == (priority == "high")
