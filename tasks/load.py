"""Frames into tables: one transaction for each slice, with its rows, changes, rejects, groups, report and coverage.

What a load costs follows what is new: stored scans are looked up only between the oldest and the newest date of a batch
(the date is part of a scan's identity, so no other row can have its id), groups only where they are touched.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tasks import ledger, notices
from tasks.alerts import SCAN_SCHEMA
from tasks.directory.tables import correlate
from tasks.grouping import group_key
from tasks.groups import Affected, update_exposures, update_groups
from tasks.keeping import kept
from tasks.settings import Settings
from tasks.suppression import suppress
from tasks.versions import LIFE, Outcome, merge_versions
from tasks.window import Slice

if TYPE_CHECKING:
    from tasks.database import Transaction

ALERT_ONLY = (
    "raised_at",
    "cleared_at",
    "load_no",
    "group_id",
    "dangerous",
    "priority",
    "priority_rank",
    "group_key",
)
ALERT_COLUMNS = [name for name in (*SCAN_SCHEMA, *LIFE) if name != "place"]
LOW_COLUMNS = [name for name in ALERT_COLUMNS if name not in ALERT_ONLY]
HASH_PREFIX = pl.col("file_sha256").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt32)
IDS = {"scan_id", "group_key", "group_id"}

STORED_SCHEMA = pl.Schema({**SCAN_SCHEMA, **LIFE})
TOUCHED = ("scan_id", "tenant", "file_sha256", "sender", "group_key", "old_group_key", "detected_at", "group_id")


class Loaded(NamedTuple):
    """Counts of a loaded slice. accepted = new + changed + duplicates."""

    new: int = 0
    changed: int = 0
    duplicates: int = 0
    rejected: int = 0
    alerts: int = 0
    high: int = 0
    late_by: timedelta = timedelta()
    """longest time from detection to reading among the new scans"""
    suppressed: int = 0
    """alerts among these that the allow-list hides"""
    exposures: int = 0
    """scans without alert whose file turned out to be dangerous elsewhere"""
    affected: Affected = Affected()
    reasons: tuple[tuple[str, int], ...] = ()
    """why records were rejected, and how many"""
    expired: int = 0
    """of the duplicates: older than what is kept, and so not stored"""


def load_slice(
    transaction: "Transaction",
    source: ledger.Source,
    scans: Iterable[pl.DataFrame],
    rejects: Iterable[pl.DataFrame],
    resolved: Iterable[str],
    settings: Settings,
) -> Loaded:
    """Load the accepted scans (SCAN_SCHEMA) and the rejects (REJECT_SCHEMA) of one slice, both in batches.

    `resolved`: ids of rejects whose record was accepted now. Report and coverage are `close_slice`'s.
    """
    now = datetime.now(UTC)
    outcomes, touched, exposed, recipients = [], [], [], []
    late_by, accepted, suppressed, found, affected = timedelta(), 0, 0, 0, Affected()
    for batch in scans:
        outcome, alerts, lows = _load_batch(transaction, source, batch, settings, now)
        accepted += len(batch)
        recipients.append(outcome.scans["recipient"].unique())
        outcomes.append(outcome._replace(scans=outcome.scans.clear(), changes=outcome.changes.clear()))
        touched.append(alerts.select(TOUCHED))
        late_by = max(late_by, _lateness(outcome.scans, now))
        dangerous, exposures = _expose(transaction, source, lows, now)
        exposed.append(dangerous)
        found += exposures
    if touched:
        correlate(transaction, source.tenant, pl.concat(recipients), settings)
        alerts = pl.concat(touched)  # twice what changed twice: with each key it left
        suppressed = suppress(transaction, _named(alerts), now)
        affected = update_groups(transaction, alerts, settings, now)
        found += update_exposures(transaction, alerts, pl.concat(exposed))
    fresh_rejects = 0
    reasons: Counter[str] = Counter()
    for bad in rejects:
        reasons.update(dict(bad["reason"].value_counts().iter_rows()))
        fresh_rejects += _load_rejects(transaction, source, bad)
    fresh_rejects += _resolve(transaction, resolved)
    new, changed = sum(each.new for each in outcomes), sum(each.changed for each in outcomes)
    same = sum(each.duplicates for each in outcomes)
    transaction.changed |= bool(new or changed or fresh_rejects)
    return Loaded(
        new,
        changed,
        accepted - new - changed,
        reasons.total(),
        sum(each.alerts for each in outcomes),
        sum(each.high for each in outcomes),
        late_by,
        suppressed,
        found,
        affected,
        tuple(reasons.most_common()),
        accepted - new - changed - same,
    )


def _named(alerts: pl.DataFrame) -> pl.DataFrame:
    """What an entry of the allow-list may name of these alerts."""
    domain = pl.col("sender").str.extract("@([^@]*)$")  # as the tables say it
    return alerts.select("tenant", "file_sha256", "sender", alert_id="scan_id", sender_domain=domain)


def _lateness(scans: pl.DataFrame, now: datetime) -> timedelta:
    new = scans.filter(pl.col("first_loaded_at") == now)
    longest: timedelta | None = new.select((pl.col("fetched_at") - pl.col("detected_at")).max()).item()
    return longest or timedelta()


def _load_batch(
    transaction: "Transaction", source: ledger.Source, batch: pl.DataFrame, settings: Settings, now: datetime
) -> tuple[Outcome, pl.DataFrame, pl.DataFrame]:
    stored = stored_scans(transaction, batch)
    rows = kept(transaction, batch, stored, settings, now)
    outcome = merge_versions(rows, stored, settings.keep_low == "full", now)
    alert = pl.col("raised_at").is_not_null()
    lows = outcome.scans.filter(~alert)
    alerts = outcome.scans.filter(alert).with_columns(was=pl.col("group_key"), tenant=pl.lit(source.tenant))
    alerts = alerts.with_columns(group_key=group_key(settings.group_by))
    alerts = alerts.with_columns(old_group_key=pl.when(pl.col("was") != pl.col("group_key")).then("was"))
    keys = [alerts.filter(pl.col("file_sha256").is_null())[name] for name in ("group_key", "was")]
    touched = pl.concat([outcome.scans["file_sha256"], *keys]).drop_nulls().unique()
    oldest: datetime | None = batch.select(pl.col("detected_at").min()).item()
    notices.remember_known(transaction, touched, oldest)
    if not outcome.replaced.is_empty():
        span = {"first": batch["detected_at"].min(), "last": batch["detected_at"].max()}
        for table in ("low_scans", "alert_scans"):
            transaction.run(
                f"DELETE FROM internal.{table} WHERE detected_at BETWEEN $first AND $last "
                "AND scan_id IN (SELECT scan_id::UUID FROM replaced)",
                span,
                replaced=outcome.replaced,
            )
        transaction.run(
            "DELETE FROM internal.exposed_scans WHERE scan_id IN (SELECT scan_id::UUID FROM replaced)",
            replaced=outcome.replaced,
        )
    _insert(transaction, source, "low_scans", lows.select(*LOW_COLUMNS, hash_prefix=HASH_PREFIX))
    _insert(transaction, source, "alert_scans", alerts.select(ALERT_COLUMNS))
    if not outcome.changes.is_empty():
        transaction.run(
            "INSERT INTO internal.scan_changes BY NAME "
            "SELECT * REPLACE (scan_id::UUID AS scan_id), $tenant AS tenant FROM changes",
            {"tenant": source.tenant},
            changes=outcome.changes,
        )
    return outcome, alerts, lows


def stored_scans(transaction: "Transaction", batch: pl.DataFrame) -> pl.DataFrame:
    """Stored scans with the ids (scan_id, detected_at) of this batch: STORED_SCHEMA; raised_at is null for low ones."""
    span = {"first": batch["detected_at"].min(), "last": batch["detected_at"].max()}
    anything = "SELECT 1 FROM internal.{} WHERE detected_at BETWEEN $first AND $last LIMIT 1"
    if not any(transaction.rows(anything.format(table), span) for table in ("low_scans", "alert_scans")):
        return pl.DataFrame(schema=STORED_SCHEMA)  # time that was never fetched before: most of a backfill
    lows = {"dangerous": "false", "priority": "'low'", "priority_rank": "9"}
    columns = {name: f"replace({name}::VARCHAR, '-', '')" if name in IDS else name for name in STORED_SCHEMA}
    columns["place"] = "-1"  # whatever a later page says comes after what is stored
    of_low = columns | dict.fromkeys(ALERT_ONLY, "NULL") | lows
    parts = [
        f"SELECT {', '.join(f'{text} AS {name}' for name, text in chosen.items())} FROM internal.{table} "
        "SEMI JOIN ids USING (scan_id) WHERE detected_at BETWEEN $first AND $last"
        for table, chosen in (("alert_scans", columns), ("low_scans", of_low))
    ]
    stored = transaction.frame(
        "WITH ids AS MATERIALIZED (SELECT scan_id::UUID AS scan_id FROM batch) " + " UNION ALL ".join(parts),
        span,
        batch=batch.select("scan_id"),
    )
    return stored.cast(STORED_SCHEMA)


def _insert(transaction: "Transaction", source: ledger.Source, table: str, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    columns = [f"{name}::UUID" if name in IDS else name for name in rows.columns]
    transaction.run(
        f"INSERT INTO internal.{table} (tenant, connector_id, {', '.join(rows.columns)}) "
        f"SELECT $tenant, $connector_id, {', '.join(columns)} FROM rows",
        {"tenant": source.tenant, "connector_id": source.connector_id},
        rows=rows,
    )


def _expose(
    transaction: "Transaction", source: ledger.Source, lows: pl.DataFrame, now: datetime
) -> tuple[pl.DataFrame, int]:
    """Add low scans whose hash is dangerous already; return their tenant and file_sha256, and how many are new."""
    dangerous = transaction.frame(
        "SELECT tenant, file_sha256 FROM internal.dangerous_hashes WHERE tenant = $tenant "
        "AND file_sha256 IN (SELECT file_sha256 FROM hashes)",
        {"tenant": source.tenant},
        hashes=lows.select("file_sha256").drop_nulls().unique(),
    ).cast(pl.String)
    exposed = lows.join(dangerous, on="file_sha256")
    new = exposed.filter(pl.col("first_loaded_at") == now).height
    exposed = exposed.select("tenant", "scan_id", "file_sha256", "recipient")
    if not exposed.is_empty():
        transaction.run(
            "INSERT INTO internal.exposed_scans BY NAME SELECT * REPLACE (scan_id::UUID AS scan_id) FROM exposed",
            exposed=exposed,
        )
    return dangerous, new


def _load_rejects(transaction: "Transaction", source: ledger.Source, rejects: pl.DataFrame) -> int:
    """Store each reject once with first and last seen; how many are new or open again."""
    if rejects.is_empty():
        return 0
    once = rejects.group_by("reject_id", maintain_order=True).agg(
        pl.col("reason", "raw", "dangerous").first(),
        first_seen_at=pl.col("fetched_at").min(),
        last_seen_at=pl.col("fetched_at").max(),
    )
    transaction.run(
        """
        UPDATE internal.rejects r SET last_seen_at = greatest(r.last_seen_at, o.last_seen_at)
        FROM once o WHERE r.reject_id = o.reject_id::UUID
        """,
        once=once,
    )
    opened = transaction.rows(
        "UPDATE internal.rejects SET resolved_at = NULL "
        "WHERE resolved_at IS NOT NULL AND reject_id IN (SELECT reject_id::UUID FROM once)",
        once=once,
    )[0][0]
    new = transaction.rows(
        """
        INSERT INTO internal.rejects BY NAME
        SELECT reject_id::UUID AS reject_id, $tenant AS tenant, $id AS connector_id, reason, raw, dangerous,
            first_seen_at, last_seen_at
        FROM once WHERE reject_id::UUID NOT IN (SELECT reject_id FROM internal.rejects)
        """,
        {"tenant": source.tenant, "id": source.connector_id},
        once=once,
    )[0][0]
    return int(opened) + int(new)


def _resolve(transaction: "Transaction", resolved: Iterable[str]) -> int:
    """Mark rejects whose record was accepted after all; how many."""
    done = pl.DataFrame({"reject_id": list(resolved)}, schema={"reject_id": pl.String})
    if not done.is_empty():
        transaction.run(
            "UPDATE internal.rejects SET resolved_at = $now WHERE reject_id IN (SELECT reject_id::UUID FROM done)",
            {"now": datetime.now(UTC)},
            done=done,
        )
    return len(done)


def close_slice(transaction: "Transaction", source: ledger.Source, piece: Slice, report: ledger.Report) -> None:
    """Record a complete slice, its coverage and what is to be told of it, in the same transaction as its rows."""
    ledger.record(transaction, source, [report])
    ledger.cover(transaction, source, piece)
    notices.note(transaction, notices.cause_of(transaction, source, piece), datetime.now(UTC), source.connector_id)
