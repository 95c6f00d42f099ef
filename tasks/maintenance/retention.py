"""Retention: delete what is older than the retention settings allow, in one transaction; coverage is never deleted.

An alert is deleted only with its complete group, some time after the group was closed, so no other group changes. Its
ID is kept in `removed_alerts`, so that fetching the record again does not restore it.
"""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from tasks.groups.exposures import remove_unused_low_hashes, update_exposures
from tasks.ingest.retention_limits import limits
from tasks.store.connection import Connection, Transaction
from tasks.store.migrations import statements
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries

DIRECTORY = (
    "people", "addresses", "devices", "device_people", "source_objects", "source_addresses", "source_members",
    "source_devices", "source_device_users",
)  # fmt: skip
REMOVED = {
    "closed alerts": ("alert_scans",),
    "low scans": ("low_scans",),
    "rejects": ("rejects",),
    "windows": ("windows",),
    "told notices": ("notices",),
    "gone directory rows": DIRECTORY,
}
"""Kind of what is deleted → its tables."""

RAW_RECORDS = {"raw records of low scans": "raw_of_lows", "raw records of alerts": "raw_of_alerts"}


def run_retention(store: Store, *, apply: bool, now: datetime | None = None) -> dict[str, Any]:
    """Count what is older than the settings allow and, with `apply`, delete it; rows by kind, as JSON values."""
    now = now or datetime.now(UTC)
    size = store.size()
    if apply:
        counts = _remove_expired(store, now)
        if store.compact() or any(counts.values()):
            store.publish()
    else:
        with store.snapshot() as database:
            counts = find_expired(database, limits(store.settings, now))
    after = {"megabytes_before": _megabytes(size), "megabytes_after": _megabytes(store.size())}
    return {"applied": apply, "removed": counts, **(after if apply else {})}


def _megabytes(size: int) -> float:
    return round(size / 1e6, 1)


def find_expired(database: Connection, moments: dict[str, datetime]) -> dict[str, int]:
    """Write the row numbers of expired rows to temporary tables `expired_…`; returns their number by kind."""
    database.script(statements("retention_find"), moments)
    kinds = {**REMOVED, **{kind: (table,) for kind, table in RAW_RECORDS.items()}}
    counts = {
        kind: [database.rows(f"SELECT count(*) FROM expired_{table}")[0][0] for table in tables]
        for kind, tables in kinds.items()
    }
    return {kind: sum(of_tables) for kind, of_tables in counts.items()}


def _remove_expired(store: Store, now: datetime) -> dict[str, int]:
    with store.transaction() as transaction:
        expire_entries(transaction, now)
        counts = find_expired(transaction, limits(store.settings, now))
        if any(counts.values()):
            remove_expired(transaction, now)
            transaction.changed = True
    return counts


def remove_expired(transaction: Transaction, now: datetime) -> None:
    """Delete the rows that `find_expired` found, and everything that depends only on them."""
    closed = transaction.frame("SELECT DISTINCT tenant, file_sha256 FROM expired_alert_scans")
    exposed = transaction.frame(
        "SELECT DISTINCT tenant, file_sha256 FROM internal.exposed_scans SEMI JOIN expired_low_scans USING (scan_id)"
    )
    transaction.script(statements("retention_remove"), {"now": now})
    for table in (table for tables in REMOVED.values() for table in tables):
        transaction.run(f"DELETE FROM internal.{table} WHERE rowid IN (SELECT id FROM expired_{table})")
    update_exposures(transaction, closed.cast(pl.String), exposed.cast(pl.String))
    _remove_unused_recipients(transaction)
    remove_unused_low_hashes(transaction)


def _remove_unused_recipients(transaction: Transaction) -> None:
    """Delete the matches of recipients without a stored scan."""
    for table in ("recipients", "recipient_people"):
        transaction.run(
            f"DELETE FROM internal.{table} WHERE (tenant, recipient) NOT IN ("
            "SELECT (tenant, recipient) FROM internal.low_scans WHERE recipient IS NOT NULL UNION "
            "SELECT (tenant, recipient) FROM internal.alert_scans WHERE recipient IS NOT NULL)"
        )
