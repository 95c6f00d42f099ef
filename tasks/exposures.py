"""Exposures: scans without an alert whose file has turned out to be dangerous elsewhere (design: Exposures)."""

from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from tasks import notices
from tasks.schema import statements

if TYPE_CHECKING:
    from tasks.database import Transaction


def exposed_by_load(
    transaction: "Transaction", tenant: str, first: datetime, last: datetime, now: datetime
) -> pl.DataFrame:
    """The low scans that this load has written between two moments and whose hash is dangerous already.

    tenant, scan_id (binary), file_sha256, recipient; `new`: read for the first time.
    """
    return transaction.frame(
        """
        SELECT s.tenant, s.scan_id::BLOB AS scan_id, s.file_sha256, s.recipient, s.first_loaded_at = $now AS new
        FROM internal.low_scans s SEMI JOIN internal.dangerous_hashes d
        ON s.tenant = d.tenant AND s.file_sha256 = d.file_sha256
        WHERE s.tenant = $tenant AND s.detected_at BETWEEN $first AND $last AND s.last_changed_at = $now
        """,
        {"tenant": tenant, "first": first, "last": last, "now": now},
    )


def expose(transaction: "Transaction", exposed: pl.DataFrame, replaced: pl.DataFrame) -> None:
    """Write down who is exposed by hashes that are dangerous already; replaced scans (scan_id) may no longer be so."""
    if not replaced.is_empty():
        transaction.run(
            "DELETE FROM internal.exposed_scans WHERE scan_id IN (SELECT scan_id::UUID FROM replaced)",
            replaced=replaced,
        )
    if not exposed.is_empty():
        transaction.run(
            "INSERT INTO internal.exposed_scans BY NAME SELECT * EXCLUDE (new) REPLACE (scan_id::UUID AS scan_id) "
            "FROM exposed",
            exposed=exposed,
        )


def update_exposures(transaction: "Transaction", touched: pl.DataFrame, exposed: pl.DataFrame) -> int:
    """Bring exposures up to date for the hashes of touched alerts, and the counts of those and of `exposed` hashes.

    Both frames: tenant, file_sha256. How many scans are exposed by a hash that has become dangerous.
    """
    found = 0
    touched = touched.select("tenant", "file_sha256").drop_nulls().unique()
    counted = pl.concat([touched, exposed.select("tenant", "file_sha256")]).unique()
    if not touched.is_empty():
        for statement in statements("refresh_exposures"):
            answer = transaction.rows(statement, touched=touched)
            found += answer[0][0] if "INSERT INTO internal.exposed_scans" in statement else 0
    if not counted.is_empty():
        notices.remember_hashes(transaction, counted)
        for statement in statements("count_exposures"):
            transaction.run(statement, counted=counted)
    return found
