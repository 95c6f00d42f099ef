"""Replay: apply the current program and maps to stored rejects and scans.

The plan is made from the published file, without a lock; if the store has changed since, the transaction plans again.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.alerts import REJECT_SCHEMA
from tasks.ingest.batches import BATCH_ROWS, Revalidated
from tasks.ingest.load import load_slice
from tasks.ingest.scan_rows import stored_scans
from tasks.maintenance.remap import (
    JUDGED_SCANS,
    KIND,
    SAME_KIND,
    STAYS_LOW,
    RulesOf,
    apply_rules,
    find_changed_kinds,
    rewrite_low_scans,
)
from tasks.notifications.changes import record_changes
from tasks.source import Source
from tasks.store.connection import Connection, Transaction
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries

What = Literal["rejects", "priorities", "responses"]
WHAT: tuple[What, ...] = ("rejects", "priorities", "responses")
MAX_CHANGES_LISTED = 50  # those of the most scans

CHANGE_SCHEMA = pl.Schema(
    {
        "what": pl.String(),
        "said": pl.String(),  # the verdict, the response, the reason of the reject
        "old": pl.String(),
        "new": pl.String(),
        "count": pl.Int64(),
        "example": pl.String(),  # a scan_id or reject_id
    }
)


Revalidate = Callable[[str, pl.DataFrame], Revalidated]
"""Validates a connector's rejects (REJECT_SCHEMA) with its product's current program; takes the connector's ID."""


class ReplayOptions(NamedTuple):
    """What is applied, and the functions that apply it."""

    what: frozenset[What]
    rules_of: RulesOf
    revalidate: Revalidate


class ConnectorRejects(NamedTuple):
    """The rejects of one connector and tenant that are valid today."""

    connector_id: str
    tenant: str
    revalidated: Revalidated


class Plan(NamedTuple):
    """The changes of a replay, for one revision of the store."""

    revision: int
    """of the store that it was planned for"""
    accepted: list[ConnectorRejects]
    left: int
    """rejects that are still invalid"""
    kinds: pl.DataFrame
    changes: pl.DataFrame
    """CHANGE_SCHEMA"""


def run_replay(store: Store, options: ReplayOptions, *, apply: bool) -> dict[str, Any]:
    """Plan the changes and, with `apply`, make them; returns them as JSON values."""
    with store.snapshot() as database:
        plan = plan_replay(database, options)
    if apply:
        plan = apply_replay(store, options, plan)
    listed = plan.changes.sort("count", *CHANGE_SCHEMA, descending=[True, *[False] * len(CHANGE_SCHEMA)]).head(
        MAX_CHANGES_LISTED
    )
    raised = plan.kinds.filter(pl.col("new_alert") & ~pl.col("is_alert"))
    cleared = plan.kinds.filter(pl.col("new_cleared") & ~pl.col("cleared"))
    return {
        "applied": apply,
        "what": sorted(options.what),
        "scans_changed": plan.kinds["scans"].sum(),
        "alerts_raised": raised["scans"].sum(),
        "alerts_cleared": cleared["scans"].sum(),
        "rejects_accepted": sum(len(connector.revalidated.reject_ids) for connector in plan.accepted),
        "rejects_left": plan.left,
        "changes": listed.to_dicts(),
        "changes_not_told": len(plan.changes) - len(listed),
    }


def plan_replay(database: Connection, options: ReplayOptions) -> Plan:
    kinds = find_changed_kinds(database, options.rules_of)
    accepted, left, changes = [], 0, [_changes(kinds, what) for what in sorted(options.what - {"rejects"})]
    for connector, rejects in _rejects(database, options) if "rejects" in options.what else ():
        left += len(rejects) - len(connector.revalidated.reject_ids)
        accepted += [connector] if len(connector.revalidated.reject_ids) else []
        changes.append(_accepted(connector.revalidated, rejects))
    revision = database.revision()
    all_changes = pl.concat([*changes, pl.DataFrame(schema=CHANGE_SCHEMA)])
    return Plan(revision, accepted, left, kinds, _summed(all_changes))


def _rejects(database: Connection, options: ReplayOptions) -> Iterator[tuple[ConnectorRejects, pl.DataFrame]]:
    """Unresolved rejects in batches, with the result of validating them today."""
    owners = database.rows(
        "SELECT DISTINCT connector_id::VARCHAR, tenant FROM internal.rejects WHERE resolved_at IS NULL ORDER BY ALL"
    )
    for connector_id, tenant in owners:
        owner = {"id": UUID(connector_id), "tenant": tenant}
        ids = database.frame(
            "SELECT reject_id::VARCHAR AS reject_id FROM internal.rejects "
            "WHERE resolved_at IS NULL AND connector_id = $id AND tenant = $tenant ORDER BY 1",
            owner,
        )
        for batch in ids.iter_slices(BATCH_ROWS):
            rejects = database.frame(
                "SELECT replace(reject_id::VARCHAR, '-', '') AS reject_id, reason, raw, dangerous, "
                "last_seen_at AS fetched_at FROM internal.rejects "
                "WHERE reject_id IN (SELECT reject_id::UUID FROM batch) ORDER BY last_seen_at, reject_id",
                batch=batch,
            ).cast(REJECT_SCHEMA)
            yield ConnectorRejects(connector_id, tenant, options.revalidate(connector_id, rejects)), rejects


def _accepted(revalidated: Revalidated, rejects: pl.DataFrame) -> pl.DataFrame:
    scans = revalidated.scans.select(new="priority").hstack([revalidated.reject_ids.alias("reject_id")])
    rows = scans.join(rejects.select("reject_id", said="reason"), on="reject_id", how="left")
    rows = rows.with_columns(what=pl.lit("rejects"), old=pl.lit("rejected"), count=pl.lit(1, pl.Int64))
    return rows.rename({"reject_id": "example"}).select(list(CHANGE_SCHEMA)).cast(CHANGE_SCHEMA)


def _changes(kinds: pl.DataFrame, what: str) -> pl.DataFrame:
    """The changes of one map: CHANGE_SCHEMA."""
    if what == "responses":
        rows = kinds.filter(pl.col("disposition") != pl.col("new_disposition"))
        rows = rows.with_columns(said="response", old="disposition", new="new_disposition")
    else:
        rows = kinds.with_columns(said="verdict", old=_judgement(""), new=_judgement("new_"))
        rows = rows.filter((pl.col("old") != pl.col("new")) | (pl.col("disposition") == pl.col("new_disposition")))
    rows = rows.with_columns(what=pl.lit(what), count="scans")
    return rows.select(list(CHANGE_SCHEMA)).cast(CHANGE_SCHEMA)


def _judgement(prefix: str) -> pl.Expr:
    cleared = pl.when(pl.col(f"{prefix}cleared")).then(pl.lit(", cleared")).otherwise(pl.lit(""))
    names = [f"{prefix}{name}" for name in ("priority", "sub_classification", "priority_rule")]
    return pl.format("{}{} ({}, {})", names[0], cleared, *names[1:])


def _summed(changes: pl.DataFrame) -> pl.DataFrame:
    keys = ("what", "said", "old", "new")
    return changes.group_by(keys).agg(pl.col("count").sum(), pl.col("example").min()).select(list(CHANGE_SCHEMA))


def apply_replay(store: Store, options: ReplayOptions, plan: Plan) -> Plan:
    """Apply the plan in one transaction and publish; returns the plan applied."""
    with store.transaction() as transaction:
        if transaction.revision() != plan.revision:
            plan = plan_replay(transaction, options)
        expire_entries(transaction, datetime.now(UTC))
        for connector_id, tenant, revalidated in plan.accepted:
            source = _source(connector_id, tenant)
            load_slice(transaction, source, [revalidated.scans], [], revalidated.reject_ids, store.settings)
        for (connector_id, tenant), kinds in plan.kinds.group_by("connector_id", "tenant"):
            _remap(transaction, _source(str(connector_id), str(tenant)), kinds, options, store)
        record_changes(transaction, "replay", datetime.now(UTC))
        transaction.publish = transaction.changed
    return plan


def _source(connector_id: str, tenant: str) -> Source:
    """The tenant is that of the rows; the connector may have moved to another one since."""
    return Source(UUID(connector_id), "", "", tenant, 0, "", None, timedelta())


def _remap(transaction: Transaction, source: Source, kinds: pl.DataFrame, options: ReplayOptions, store: Store) -> None:
    """Update the scans of these kinds to the current rules, in one pass over the tables."""
    lows, others, now = kinds.filter(STAYS_LOW), kinds.filter(~STAYS_LOW), datetime.now(UTC)
    if not lows.is_empty():
        rewrite_low_scans(transaction, source.connector_id, source.tenant, lows, now)
    if others.is_empty():
        return
    transaction.run(
        "CREATE OR REPLACE TEMP TABLE changing AS "
        "SELECT s.scan_id, s.tenant, s.detected_at, s.priority, s.disposition, k.new_priority, k.new_disposition "
        f"FROM ({JUDGED_SCANS}) s JOIN kinds k ON {SAME_KIND} WHERE s.connector_id = $id AND s.tenant = $tenant",
        {"id": source.connector_id, "tenant": source.tenant},
        kinds=others.select(*KIND, "new_priority", "new_disposition"),
    )
    for field in ("priority", "disposition"):  # the maps have changed, not the records
        transaction.run(
            f"INSERT INTO internal.scan_changes SELECT tenant, scan_id, '{field}', {field}, new_{field}, $now "
            f"FROM changing WHERE {field} <> new_{field}",
            {"now": now},
        )
    ids = transaction.frame(
        "SELECT replace(scan_id::VARCHAR, '-', '') AS scan_id, detected_at FROM changing ORDER BY detected_at"
    )
    transaction.run("DROP TABLE changing")
    rules = options.rules_of(str(source.connector_id))
    batches = (apply_rules(stored_scans(transaction, batch), rules) for batch in ids.iter_slices(BATCH_ROWS))
    load_slice(transaction, source, batches, [], [], store.settings)
