"""The changes of a transaction, stored as notices in the same transaction and sent after its commit (an outbox).

Whatever rebuilds groups takes a snapshot of them first (`snapshot_groups`); the end of the transaction compares the
snapshots with what the groups have become (`record_changes`): one notice for each group and change, however many alerts
or steps it took. `tasks.notifications.outbox` claims, sends and marks them. The claim of a run that is killed expires,
and the next run sends the same events with the same IDs.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.store.connection import Transaction
from tasks.store.migrations import statements

Cause = Literal["poll", "first_look_back", "recheck", "backfill", "regroup", "replay", "expiry", "reminder"]
LIVE_CAUSES: tuple[Cause, ...] = ("poll", "expiry")
"""Their changes are events of their own; those of the other causes become the digest of their run."""
NEVER = datetime.max.replace(tzinfo=UTC)

SNAPSHOT_TABLES = """
    CREATE OR REPLACE TEMP TABLE groups_before (
        group_id UUID, visible BOOLEAN, priority_rank TINYINT, status VARCHAR, suppressed_count BIGINT,
        since TIMESTAMPTZ
    );
    CREATE OR REPLACE TEMP TABLE exposed_before (tenant VARCHAR, file_key VARCHAR, recipient VARCHAR, alert_id UUID)
"""
CURRENT_STATES = """
    SELECT
        a.group_id, coalesce(g.alert_count > 0, false) AS visible, g.priority_rank, g.status, g.suppressed_count,
        g.starts_at, g.ends_at
    FROM affected a LEFT JOIN internal.groups g ON a.group_id::UUID = g.group_id
"""
INSERT_STATES = """
    INSERT INTO groups_before
    SELECT group_id::UUID, visible, priority_rank, status, suppressed_count, $since FROM states
"""
FILE_KEY = "coalesce(g.file_sha256, replace(g.group_key::VARCHAR, '-', ''))"
"""The hash of a group's file; the group's key if there is no hash."""
DANGEROUS = f"""
    SELECT tenant, file_sha256 AS file_key FROM internal.dangerous_hashes
    WHERE file_sha256 IN (SELECT file_key FROM touched)
    UNION
    SELECT g.tenant, {FILE_KEY} FROM internal.groups g
    WHERE g.dangerous_released_count > 0 AND {FILE_KEY} IN (SELECT file_key FROM touched)
"""
# Without files that an earlier step of this transaction has changed: their snapshot exists already.
UNTOUCHED = f"""
    ({DANGEROUS}) EXCEPT (
        SELECT tenant, file_key FROM exposed_before
        UNION ALL SELECT g.tenant, {FILE_KEY} FROM internal.groups g SEMI JOIN groups_before USING (group_id)
    )
"""
# The groups of these files that alerts from $oldest on can change: of each key the last group before it and all later.
CHANGEABLE = f"""
    SELECT group_id::VARCHAR AS group_id, file_key, starts_at FROM (
        SELECT
            g.group_id, d.file_key, g.starts_at, g.dangerous_released_count,
            max(g.starts_at) FILTER (g.starts_at <= $oldest) OVER (PARTITION BY g.group_key) AS from_at
        FROM internal.groups g JOIN dangerous d ON g.tenant = d.tenant AND {FILE_KEY} = d.file_key
    )
    WHERE dangerous_released_count > 0 AND starts_at >= coalesce(from_at, starts_at)
"""
INSERT_EXPOSED = """
    INSERT INTO exposed_before
    SELECT tenant, file_key, NULL, NULL FROM dangerous
    UNION ALL
    SELECT e.tenant, e.file_sha256, e.recipient, NULL FROM internal.exposed_scans e
    SEMI JOIN dangerous d ON e.tenant = d.tenant AND e.file_sha256 = d.file_key
    UNION ALL
    SELECT a.tenant, g.file_key, NULL, a.scan_id
    FROM internal.alert_scans a JOIN (SELECT group_id::UUID AS group_id, file_key FROM changeable) g USING (group_id)
    ANTI JOIN internal.suppressed h ON a.scan_id = h.alert_id AND h.ended_at IS NULL
    WHERE a.detected_at >= $since AND a.disposition = 'released' AND a.last_changed_at <> $now
"""
# Only groups that were both dangerous and released, and that no earlier step has changed.
INSERT_RELEASED = """
    INSERT INTO exposed_before
    SELECT NULL, NULL, NULL, a.scan_id
    FROM internal.alert_scans a SEMI JOIN (SELECT scan_id::UUID AS scan_id FROM replaced) r USING (scan_id)
    JOIN internal.groups g USING (group_id)
    ANTI JOIN groups_before b ON g.group_id = b.group_id
    ANTI JOIN internal.suppressed h ON a.scan_id = h.alert_id AND h.ended_at IS NULL
    WHERE g.dangerous_released_count > 0 AND a.detected_at BETWEEN $first AND $last AND a.disposition = 'released'
        AND a.last_changed_at <> $now
"""
ANY_DANGEROUS = """
    (SELECT 1 FROM internal.dangerous_hashes LIMIT 1)
    UNION ALL (SELECT 1 FROM internal.groups WHERE dangerous_released_count > 0 LIMIT 1)
"""
FILE_KEYS_OF_GROUPS = (
    f"SELECT DISTINCT {FILE_KEY} AS file_key FROM internal.groups g WHERE group_id IN (SELECT group_id::UUID FROM ids)"
)
GROUPS_OF_HASHES = (
    "SELECT group_id::VARCHAR AS group_id FROM internal.groups SEMI JOIN counted USING (tenant, file_sha256)"
)


class TimeRange(NamedTuple):
    """Detection times of the oldest and the newest alert of some groups."""

    first: datetime | None
    last: datetime | None


def snapshot_groups(transaction: Transaction, affected: pl.DataFrame, since: datetime) -> TimeRange:
    """Store the state of these groups (group_id); alerts raised from `since` on are new. Returns their time range."""
    _create_tables(transaction)
    states = transaction.frame(CURRENT_STATES, affected=affected)
    transaction.run(INSERT_STATES, {"since": since}, states=states)
    return TimeRange(*states.select(pl.col("starts_at").min(), pl.col("ends_at").max()).row(0))


def _create_tables(transaction: Transaction) -> None:
    if not transaction.has_snapshots:
        transaction.run(SNAPSHOT_TABLES)
        transaction.has_snapshots = True


def snapshot_groups_of_hashes(transaction: Transaction, counted: pl.DataFrame) -> None:
    """Snapshot all groups of these hashes (tenant, file_sha256) before their exposures are counted."""
    snapshot_groups(transaction, transaction.frame(GROUPS_OF_HASHES, counted=counted), NEVER)


def snapshot_exposures(
    transaction: Transaction, touched: pl.Series, oldest: datetime | None = None, now: datetime | None = None
) -> None:
    """Store who is exposed to the dangerous files among these, and which of their alerts are released.

    `touched`: hashes, and keys (32 digits) of groups without one. `oldest`: detection time of the oldest alert that
    changes; None: any may change. `now`: alerts changed at that time are skipped, because they have been replaced
    already; `snapshot_released` covers those. Cheap if no file is dangerous.
    """
    if not transaction.rows(ANY_DANGEROUS):
        return
    sql = UNTOUCHED if transaction.has_snapshots else DANGEROUS
    dangerous = transaction.frame(sql, touched=touched.alias("file_key").to_frame())
    if not dangerous.is_empty():
        _create_tables(transaction)
        changeable = transaction.frame(CHANGEABLE, {"oldest": oldest}, dangerous=dangerous)
        moments = {"since": changeable["starts_at"].min() or NEVER, "now": now or NEVER}
        transaction.run(INSERT_EXPOSED, moments, dangerous=dangerous, changeable=changeable)


def snapshot_released(
    transaction: Transaction, alerts: pl.DataFrame, first: datetime, last: datetime, now: datetime
) -> None:
    """Store which of these alerts (scan_id), detected between two times, are released, before they are replaced."""
    _create_tables(transaction)
    transaction.run(INSERT_RELEASED, {"first": first, "last": last, "now": now}, replaced=alerts)


def snapshot_exposures_of_groups(transaction: Transaction, group_ids: pl.Series) -> None:
    """`snapshot_exposures` for the files of these groups."""
    ids = group_ids.alias("group_id").to_frame()
    snapshot_exposures(transaction, transaction.frame(FILE_KEYS_OF_GROUPS, ids=ids).cast(pl.String)["file_key"])


def record_changes(transaction: Transaction, cause: Cause, now: datetime, connector_id: UUID | None = None) -> None:
    """Store a notice for each change of this transaction since its snapshots."""
    if not transaction.has_snapshots:
        return
    compare, *write = statements("record_changes")
    transaction.run(compare)
    # Groups whose exposures were only counted have no changed alert. The time range lets the planner skip the alerts of
    # all other times.
    [(present, first, last)] = transaction.rows(
        "SELECT count(*), min(starts_at) FILTER (since <= $now), max(ends_at) FILTER (since <= $now) FROM present",
        {"now": now},
    )
    if present:
        facts = {"cause": cause, "in_bulk": cause not in LIVE_CAUSES, "now": now, "connector_id": connector_id}
        transaction.script(write, facts | {"first": first, "last": last})
    transaction.has_snapshots = False
