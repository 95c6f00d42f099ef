"""Notices become events: which are told one by one, which together; `happenings` knows what each says.

One event for each group and change; a digest for what came in bulk and for what is more than an hour may bring;
several releases share an event, and each stays a message. What is decided is stored before anything is sent, so that a
repeat after a crash is the same event with the same id.
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

CLAIM_LASTS = timedelta(minutes=10)  # sending takes seconds; a claim of that age was left by a killed run
ORPHANED = timedelta(hours=6)  # no digest waits longer for the end of the run that began it

NEVER_TOGETHER = ["released", *OF_CONNECTORS]
URGENT = ["exposure_found", "released"]
"""Told whatever the priority of the group."""
SHARE = 250
"""Releases that one event carries. It starts one run, whose parameters may have 512 kB; each takes half a kB."""


class NotificationSource(NamedTuple):
    """Who tells: a run of a connector, or with no id anything else."""

    connector_id: UUID | None = None
    backfill: bool = False


def claim(
    transaction: Transaction, teller: NotificationSource, settings: Settings, now: datetime
) -> list[OutboundEvent]:
    """Take what this run has to tell; for CLAIM_LASTS nobody else takes it."""
    facts = {
        "now": now,
        "remind": settings.remind_hours > 0,
        "remind_before": now - timedelta(hours=settings.remind_hours),
        "lapsed": now - CLAIM_LASTS,
        "orphaned": now - ORPHANED,
        **teller._asdict(),
    }
    remind, choose, *take = statements("claim_notices")
    transaction.script([remind, choose], facts)
    if not transaction.rows("SELECT 1 FROM claimed LIMIT 1"):  # as after most runs
        return []
    transaction.script(take, facts)
    waiting = transaction.frame(WAITING)
    if waiting.is_empty():
        return []
    lately = transaction.frame(LATELY, {"hour_ago": now - timedelta(hours=1), "apart": NEVER_TOGETHER})
    decided = decide(waiting, lately, settings.notify_per_hour)
    transaction.run(DECIDED, decided=decided.select("notice_id", "digest", "urgent", "told_with"))
    return [*single_events(decided), *digest_events(decided)]


WAITING = """
    SELECT
        n.notice_id::VARCHAR AS notice_id, n.tenant, n.kind, n.cause, n.digest, n."at",
        n.told_with::VARCHAR AS told_with, g.group_id::VARCHAR AS group_id, g.priority, g.priority_rank, g.file_sha256,
        g.alert_count, g.recipient_count,
        g.user_count, g.device_count, g.exposure_count, g.dangerous_released_count AS released_count,
        g.first_detected_at, g.last_detected_at, c.name AS connector, h.state, h.last_error, h.watermark
    FROM internal.notices n SEMI JOIN claimed USING (notice_id)
    LEFT JOIN internal.group_ids i ON n.group_id = i.group_id
    LEFT JOIN internal.groups g ON g.group_id = i.current_group_id
    LEFT JOIN internal.connectors c ON n.connector_id = c.connector_id
    LEFT JOIN connector_health h ON n.group_id IS NULL AND c.tenant = h.tenant AND c.name = h.connector
    WHERE n.told_at IS NULL
    ORDER BY n."at", n.notice_id
"""
LATELY = """
    SELECT tenant, urgent, count(*) AS told FROM internal.notices
    WHERE told_at > $hour_ago AND told_with = notice_id AND NOT digest AND NOT list_contains($apart, kind) GROUP BY ALL
"""
DECIDED = """
    UPDATE internal.notices n SET digest = d.digest, urgent = d.urgent, told_with = d.told_with::UUID
    FROM decided d WHERE n.notice_id = d.notice_id::UUID
"""


def decide(waiting: pl.DataFrame, lately: pl.DataFrame, per_hour: int) -> pl.DataFrame:
    """Set `urgent`, `digest` and `told_with`, the id of the event that tells it; what was decided before stays.

    `lately`: tenant, urgent, told (how many single messages of the last hour).
    """
    kind = pl.col("kind")
    rows = waiting.with_columns(
        urgent=kind.is_in([*URGENT, *OF_CONNECTORS]) | (pl.col("priority") == "high").fill_null(value=False),
        order=kind.replace_strict({name: place for place, name in enumerate(NAMES)}, return_dtype=pl.Int32),
        apart=kind.is_in(NEVER_TOGETHER),
    )
    earlier, rows = rows.filter(pl.col("told_with").is_not_null()), rows.filter(pl.col("told_with").is_null())
    rows = rows.sort(~pl.col("urgent"), "digest", "order", "at", "notice_id")
    of_one = ["tenant", pl.when(~pl.col("apart")).then("group_id").otherwise("notice_id")]
    # Of a group that changed in several ways at once, people read one message; what it says is what is true by now.
    rows = rows.with_columns(urgent=pl.col("urgent") & (pl.int_range(pl.len()).over(of_one) == 0))
    counted = ~pl.col("digest") & ~pl.col("apart")
    rows = rows.sort("priority_rank", "at", "notice_id").join(lately, on=["tenant", "urgent"], how="left")
    place = counted.cum_sum().over("tenant", "urgent") + pl.col("told").fill_null(0)
    rows = rows.with_columns(digest=pl.col("digest") | (counted & (place > per_hour)))
    ids = {tenant: str(uuid4()) for tenant in rows["tenant"].unique()}
    together = pl.col("tenant").replace_strict(ids, return_dtype=pl.String)
    rows = rows.with_columns(nth=pl.int_range(pl.len()).over("tenant", "kind") // SHARE)
    shared = pl.when(kind == "released").then(pl.col("notice_id").first().over("tenant", "kind", "nth"))
    rows = rows.with_columns(told_with=pl.when("digest").then(together).otherwise(pl.coalesce(shared, "notice_id")))
    columns = [*waiting.columns, "urgent"]
    return pl.concat([earlier.select(columns), rows.select(columns)])


def mark_sent(transaction: Transaction, sent: Iterable[OutboundEvent], now: datetime) -> None:
    """The events were accepted: what they tell is told."""
    ids = pl.DataFrame({"event_id": [str(each.event_id) for each in sent]}, schema={"event_id": pl.String})
    transaction.run(
        "UPDATE internal.notices SET told_at = $now "
        "WHERE told_at IS NULL AND told_with IN (SELECT event_id::UUID FROM ids)",
        {"now": now},
        ids=ids,
    )
