"""Reads, writes and replaces the rows of scans: low scans and alerts are in separate tables.

Rows are looked up only between the first and the last date of a batch: the date is part of a scan's identity, so no
other row can have the same id.
"""

from datetime import datetime

import polars as pl

from tasks.alerts import SCAN_SCHEMA
from tasks.ingest.reading_history import LIFECYCLE
from tasks.notifications import changes as notices
from tasks.source import Source
from tasks.store.connection import Transaction

STORED_SCHEMA = pl.Schema({**SCAN_SCHEMA, **LIFECYCLE})
LOW_CONSTANTS = {
    "raised_at": "NULL",
    "cleared_at": "NULL",
    "load_no": "NULL",
    "group_id": "NULL",
    "group_key": "NULL",
    "dangerous": "false",
    "priority": "'low'",
    "priority_rank": "9",
}
"""Columns that the table of low scans does not have → their value."""
ALERT_COLUMNS = [name for name in STORED_SCHEMA if name != "place"]
LOW_COLUMNS = [name for name in ALERT_COLUMNS if name not in LOW_CONSTANTS]
HASH_PREFIX = pl.col("file_sha256").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt32)
IDS = {"scan_id", "group_key", "group_id"}

HAS_ROWS = """
    SELECT 1 FROM internal.low_scans WHERE detected_at BETWEEN $first AND $last
    UNION ALL SELECT 1 FROM internal.alert_scans WHERE detected_at BETWEEN $first AND $last
    LIMIT 1
"""


def span(batch: pl.DataFrame) -> tuple[datetime, datetime]:
    """Detection of the first and of the last scan."""
    detected_at = batch["detected_at"]
    return detected_at.min(), detected_at.max()  # type: ignore[return-value]  # a batch has rows


def stored_scans(transaction: Transaction, batch: pl.DataFrame) -> pl.DataFrame:
    """Stored scans with the ids (scan_id, detected_at) of this batch: STORED_SCHEMA; raised_at is null for low ones."""
    first, last = span(batch)
    bounds = {"first": first, "last": last}
    if not transaction.rows(HAS_ROWS, bounds):
        return pl.DataFrame(schema=STORED_SCHEMA)  # never fetched before: most of a backfill
    of_alerts = {name: f"replace({name}::VARCHAR, '-', '')" if name in IDS else name for name in STORED_SCHEMA}
    of_alerts["place"] = "-1"  # every later page comes after what is stored
    parts = [
        f"SELECT {', '.join(f'{text} AS {name}' for name, text in columns.items())} FROM internal.{table} "
        "SEMI JOIN ids USING (scan_id) WHERE detected_at BETWEEN $first AND $last"
        for table, columns in (("alert_scans", of_alerts), ("low_scans", of_alerts | LOW_CONSTANTS))
    ]
    stored = transaction.frame(
        "WITH ids AS MATERIALIZED (SELECT scan_id::UUID AS scan_id FROM batch) " + " UNION ALL ".join(parts),
        bounds,
        batch=batch.select("scan_id"),
    )
    return stored.cast(STORED_SCHEMA)


def remove(transaction: Transaction, replaced: pl.DataFrame, first: datetime, last: datetime, now: datetime) -> None:
    """Delete the stored rows that are replaced (scan_id), all detected between `first` and `last`."""
    if replaced.is_empty():
        return
    notices.snapshot_released(transaction, replaced, first, last, now)
    for table in ("low_scans", "alert_scans"):
        transaction.run(
            f"DELETE FROM internal.{table} WHERE detected_at BETWEEN $first AND $last "
            "AND scan_id IN (SELECT scan_id::UUID FROM replaced)",
            {"first": first, "last": last},
            replaced=replaced,
        )


def insert_lows(transaction: Transaction, source: Source, lows: pl.DataFrame) -> None:
    """Insert scans that raise no alert (STORED_SCHEMA)."""
    _insert(transaction, source, "low_scans", lows.select(*LOW_COLUMNS, hash_prefix=HASH_PREFIX))


def insert_alerts(transaction: Transaction, source: Source, alerts: pl.DataFrame) -> None:
    """Insert alerts (STORED_SCHEMA); new ones get their group and load number later."""
    _insert(transaction, source, "alert_scans", alerts.select(ALERT_COLUMNS))


def _insert(transaction: Transaction, source: Source, table: str, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    # Takes half the time of a cast from text.
    columns = [f"unhex({name})::UUID" if name in IDS else name for name in rows.columns]
    transaction.run(
        f"INSERT INTO internal.{table} (tenant, connector_id, {', '.join(rows.columns)}) "
        f"SELECT $tenant, $connector_id, {', '.join(columns)} FROM rows",
        {"tenant": source.tenant, "connector_id": source.connector_id},
        rows=rows,
    )


def insert_changes(transaction: Transaction, source: Source, changes: pl.DataFrame) -> None:
    """Insert changes of fields (CHANGES)."""
    if changes.is_empty():
        return
    transaction.run(
        "INSERT INTO internal.scan_changes BY NAME "
        "SELECT * REPLACE (scan_id::UUID AS scan_id), $tenant AS tenant FROM changes",
        {"tenant": source.tenant},
        changes=changes,
    )
