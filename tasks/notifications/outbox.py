"""The outbox: stored notices become events, which are sent after the commit and then marked as sent.

Each group and change is an event of its own; bulk changes of a run are one digest. The ID of an event is stored before
it is sent, so that a repeat after a crash is the same event.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import polars as pl

from tasks.notifications.events import NAMES, OF_CONNECTORS, OutboundEvent, digest_events, single_events
from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.store.migrations import statements

CLAIM_LASTS = timedelta(minutes=10)  # sending takes seconds; an older claim was left behind by a run that was killed
DIGEST_WAITS = timedelta(hours=6)  # a digest waits for the end of its run, but no longer than this

SEPARATE = ["released", *OF_CONNECTORS]
"""Always messages of their own, even if the group changed in other ways at the same time."""
ALWAYS_URGENT = ["exposure_found", "released", *OF_CONNECTORS]
"""Urgent whatever the priority of the group."""

PENDING = """
    SELECT
        n.notice_id::VARCHAR AS notice_id, n.tenant, n.kind, n.cause, n.digest, n.urgent, n."at",
        n.event_id::VARCHAR AS event_id, g.group_id::VARCHAR AS group_id, g.priority, g.priority_rank, g.file_sha256,
        g.alert_count, g.recipient_count,
        g.user_count, g.device_count, g.exposure_count, g.dangerous_released_count AS released_count,
        g.first_detected_at, g.last_detected_at, c.name AS connector, h.state, h.last_error, h.watermark
    FROM internal.notices n SEMI JOIN claimed USING (notice_id)
    LEFT JOIN internal.group_ids i ON n.group_id = i.group_id
    LEFT JOIN internal.groups g ON g.group_id = i.current_group_id
    LEFT JOIN internal.connectors c ON n.connector_id = c.connector_id
    LEFT JOIN connector_health h ON n.group_id IS NULL AND c.tenant = h.tenant AND c.name = h.connector
    WHERE n.sent_at IS NULL
    ORDER BY n."at", n.notice_id
"""
ASSIGN = """
    UPDATE internal.notices n SET urgent = a.urgent, event_id = a.event_id::UUID
    FROM assigned a WHERE n.notice_id = a.notice_id::UUID
"""
MARK_SENT = """
    UPDATE internal.notices SET sent_at = $now
    WHERE sent_at IS NULL AND event_id IN (SELECT event_id::UUID FROM ids)
"""


class NotificationSource(NamedTuple):
    """Whose digests are claimed: those of a connector's run or, without an ID, only those of other changes."""

    connector_id: UUID | None = None
    backfill: bool = False


def claim(
    transaction: Transaction, source: NotificationSource, settings: Settings, now: datetime
) -> list[OutboundEvent]:
    """Claim the notices that this run has to send; no other run claims them within CLAIM_LASTS."""
    facts = {
        "now": now,
        "remind": settings.remind_hours > 0,
        "remind_before": now - timedelta(hours=settings.remind_hours),
        "claim_expired": now - CLAIM_LASTS,
        "digest_overdue": now - DIGEST_WAITS,
        "day_ago": now - timedelta(days=1),
        **source._asdict(),
    }
    insert_reminders, select_notices, *mark_claimed = statements("claim_notices")
    transaction.script([insert_reminders, select_notices], facts)
    if not transaction.rows("SELECT 1 FROM claimed LIMIT 1"):  # as after most runs
        return []
    transaction.script(mark_claimed, facts)
    pending = transaction.frame(PENDING)
    if pending.is_empty():
        return []
    assigned = assign_events(pending)
    transaction.run(ASSIGN, assigned=assigned.select("notice_id", "urgent", "event_id"))
    return [*single_events(assigned), *digest_events(assigned)]


def assign_events(pending: pl.DataFrame) -> pl.DataFrame:
    """Set `urgent` and `event_id`, the id of the event that a notice is sent with; an earlier attempt's values stay.

    Notices of the same change of a group, such as releases found in several slices, are one event. Of a group that
    changed in several ways at once, only the most important change is urgent: people read one message.
    """
    kind = pl.col("kind")
    urgent = kind.is_in(ALWAYS_URGENT) | (pl.col("priority") == "high").fill_null(value=False)
    importance = kind.replace_strict({name: rank for rank, name in enumerate(NAMES)}, return_dtype=pl.Int32)
    subject = pl.coalesce("group_id", "notice_id")  # a notice about a connector is always an event of its own
    message = pl.when(kind.is_in(SEPARATE)).then(pl.concat_str(subject, kind)).otherwise(subject)
    digest_ids = {tenant: str(uuid4()) for tenant in pending["tenant"].unique()}
    digest_id = pl.col("tenant").replace_strict(digest_ids, return_dtype=pl.String)
    # An event that may have been sent already keeps its ID and gets no further notices.
    event_id = pl.col("notice_id").sort_by("at", "notice_id").first().over("tenant", subject, "kind", "event_id")
    rows = pending.sort(~urgent, "digest", importance, "at", "notice_id")
    rows = rows.with_columns(
        urgent=pl.coalesce("urgent", urgent & pl.struct("tenant", message).is_first_distinct()),
        event_id=pl.when("digest").then(pl.coalesce("event_id", digest_id)).otherwise(event_id),
    )
    return rows.sort("priority_rank", "at", "notice_id")


def mark_sent(transaction: Transaction, sent: Iterable[OutboundEvent], now: datetime) -> None:
    """Mark the notices of these events as sent, once the server has accepted them."""
    ids = pl.DataFrame({"event_id": [str(event.event_id) for event in sent]}, schema={"event_id": pl.String})
    transaction.run(MARK_SENT, {"now": now}, ids=ids)
