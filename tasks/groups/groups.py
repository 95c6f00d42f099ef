"""Stored groups: regroup the time ranges that a load has touched, and keep IDs, counts and history."""

from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from tasks.groups.grouping import GroupAssignment, assign_ids, partition
from tasks.notifications import changes
from tasks.priority import DISPOSITIONS
from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.store.migrations import statements

# A group's status may outlive its decisions, because retention deletes decisions together with their alerts.
ANY_DECIDED = """
    SELECT 1 FROM internal.decisions
    UNION ALL SELECT 1 FROM internal.groups WHERE status <> 'new' OR reopened_at IS NOT NULL
    LIMIT 1
"""


class GroupChanges(NamedTuple):
    """Groups that an update has rebuilt; IDs as 32 hex digits."""

    group_ids: frozenset[str] = frozenset()
    """ended ones among them"""
    opened: frozenset[str] = frozenset()
    """… that did not exist before"""


def update_groups(transaction: Transaction, touched: pl.DataFrame, settings: Settings, now: datetime) -> GroupChanges:
    """Bring groups up to date after alerts were inserted or replaced.

    `touched`: scan_id, tenant, file_sha256, group_key, old_group_key (null unless it changed), detected_at,
    group_id (null: new alert). The cost depends on the touched time ranges, not on the table's size.
    """
    if touched.is_empty():
        return GroupChanges()
    moved = touched.filter(pl.col("group_id").is_null() | pl.col("old_group_key").is_not_null())
    affected = [touched["group_id"].drop_nulls()]
    opened: frozenset[str] = frozenset()
    if not moved.is_empty():
        assigned = _regroup(transaction, moved, settings)
        record_ids(transaction, assigned, now)
        changed = assigned.members.filter(pl.col("group_id").ne_missing(pl.col("old_group_id")))
        affected += [changed["group_id"], changed["old_group_id"].drop_nulls()]
        opened = frozenset(assigned.created["group_id"])
    group_ids = pl.concat(affected).unique()
    refresh_groups(transaction, group_ids, touched["detected_at"], now)
    return GroupChanges(frozenset(group_ids), opened)


def _regroup(transaction: Transaction, moved: pl.DataFrame, settings: Settings) -> GroupAssignment:
    """Partition each key from its first touched group on; the sweep runs forward, so nothing before it changes."""
    keys = pl.concat(
        [
            moved.select("group_key", "detected_at"),
            moved.select(group_key="old_group_key", detected_at="detected_at").drop_nulls(),
        ]
    )
    starts = transaction.frame(
        """
        SELECT
            k.group_key::UUID::BLOB AS group_key, coalesce(max(g.starts_at), any_value(k.detected_at)) AS start_at
        FROM keys k
        LEFT JOIN internal.groups g ON g.group_key = k.group_key::UUID AND g.starts_at <= k.detected_at
        GROUP BY k.group_key
        """,
        keys=keys.group_by("group_key").agg(pl.col("detected_at").min()),
    )
    members = transaction.frame(
        """
        SELECT
            replace(a.scan_id::VARCHAR, '-', '') AS alert_id, a.group_key::BLOB AS group_key, a.tenant,
            a.detected_at, a.load_no, replace(a.group_id::VARCHAR, '-', '') AS group_id
        FROM internal.alert_scans a
        JOIN starts s ON a.group_key = s.group_key::UUID AND a.detected_at >= s.start_at
        WHERE a.detected_at >= $first
        """,
        {"first": starts["start_at"].min()},
        starts=starts,
    )
    members = _assign_load_numbers(
        members, transaction.rows("SELECT coalesce(max(load_no), 0) FROM internal.alert_scans")[0][0]
    )
    members = partition(members, timedelta(hours=settings.group_gap_hours), timedelta(hours=settings.group_span_hours))
    # A group without an ID gets the ID of its earliest-loaded alert.
    named_after = members.group_by("part").agg(pl.col("alert_id").sort_by("load_no").first())["alert_id"]
    known = transaction.frame(
        """
        SELECT replace(group_id::VARCHAR, '-', '') AS group_id, created_no
        FROM internal.group_ids SEMI JOIN (SELECT unhex(id)::UUID AS group_id FROM ids) USING (group_id)
        """,
        ids=pl.concat([named_after, members["group_id"].drop_nulls().unique()]).alias("id").to_frame(),
    )
    next_no = transaction.rows("SELECT coalesce(max(created_no), 0) + 1 FROM internal.group_ids")[0][0]
    return assign_ids(members, known, next_no)


def _assign_load_numbers(members: pl.DataFrame, last: int) -> pl.DataFrame:
    """Give alerts without a load number theirs, in (detected_at, alert_id) order."""
    fresh = members.filter(pl.col("load_no").is_null()).sort("detected_at", "alert_id")
    fresh = fresh.with_columns(load_no=pl.int_range(last + 1, last + 1 + pl.len(), dtype=pl.Int64))
    return pl.concat([members.filter(pl.col("load_no").is_not_null()), fresh])


def record_ids(transaction: Transaction, assigned: GroupAssignment, now: datetime) -> None:
    """Store the groups and load numbers of alerts, and the history of IDs."""
    moved = assigned.members.filter(pl.col("group_id").ne_missing(pl.col("old_group_id")))
    if moved.is_empty():
        return
    transaction.run(
        """
        UPDATE internal.alert_scans a SET group_id = unhex(m.group_id)::UUID, load_no = m.load_no
        FROM moved m
        WHERE a.scan_id = unhex(m.alert_id)::UUID AND a.detected_at BETWEEN $first AND $last
        """,
        {"first": moved["detected_at"].min(), "last": moved["detected_at"].max()},
        moved=moved.select("alert_id", "group_id", "load_no"),
    )
    _record_id_history(transaction, assigned, moved.drop_nulls("old_group_id"), now)


def _record_id_history(transaction: Transaction, assigned: GroupAssignment, moved: pl.DataFrame, now: datetime) -> None:
    """`moved`: alerts that were in another group before. Most loads only create IDs."""
    if not moved.is_empty():
        transaction.run(
            """
            INSERT INTO internal.group_changes
            SELECT tenant, alert_id::UUID, old_group_id::UUID, group_id::UUID, $now FROM moved
            """,
            {"now": now},
            moved=moved,
        )
    if not assigned.created.is_empty():
        tenants = assigned.members.select("group_id", "tenant").unique()
        transaction.run(
            """
            INSERT INTO internal.group_ids BY NAME
            SELECT group_id::UUID AS group_id, tenant, created_no, group_id::UUID AS current_group_id FROM created
            """,
            created=assigned.created.join(tenants, on="group_id"),
        )
    if not assigned.ended.is_empty():
        transaction.run(
            """
            UPDATE internal.group_ids i
            SET current_group_id = e.current_group_id::UUID, ended_at = coalesce(ended_at, $now)
            FROM ended e WHERE i.current_group_id = e.group_id::UUID
            """,
            {"now": now},
            ended=assigned.ended,
        )


def refresh_groups(transaction: Transaction, group_ids: pl.Series, moments: pl.Series, now: datetime) -> None:
    """Rebuild the stored columns of these groups from their alerts; `moments`: detection times of the new alerts."""
    affected = group_ids.alias("group_id").to_frame()
    before = changes.snapshot_groups(transaction, affected, now)
    firsts, lasts = filter(None, (before.first, moments.min())), filter(None, (before.last, moments.max()))
    facts = {"now": now, "dispositions": list(DISPOSITIONS), "first": min(firsts), "last": max(lasts)}
    decided = _snapshot_status(transaction, affected)
    names = ("refresh_groups", "refresh_status") if decided else ("refresh_groups",)
    transaction.script([sql for name in names for sql in statements(name)], facts, affected=affected)
    if transaction.rows("SELECT 1 FROM internal.directory_imports LIMIT 1"):
        count_people(transaction, affected)


def refresh_status(transaction: Transaction, group_ids: pl.Series, now: datetime) -> None:
    """Update the triage status of these groups; nothing else about them has changed."""
    affected = group_ids.alias("group_id").to_frame()
    before = changes.snapshot_groups(transaction, affected, now)
    _snapshot_status(transaction, affected)
    transaction.script(statements("refresh_status"), {"now": now, **before._asdict()}, affected=affected)


def _snapshot_status(transaction: Transaction, affected: pl.DataFrame) -> bool:
    """Store the present status of these groups in `before`; returns False if there has never been a decision."""
    if not transaction.rows(ANY_DECIDED):
        return False
    transaction.run(
        "CREATE OR REPLACE TEMP TABLE before AS SELECT group_id, status, reopened_at, reopened_by "
        "FROM internal.groups WHERE group_id IN (SELECT group_id::UUID FROM affected)",
        affected=affected,
    )
    return True


def count_people(transaction: Transaction, affected: pl.DataFrame) -> None:
    """Update the counts of people, devices and unmatched recipients of these groups (group_id)."""
    transaction.script(statements("count_people"), {}, affected=affected)
