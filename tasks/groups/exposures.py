"""Exposures: scans without an alert whose file is dangerous elsewhere."""

from datetime import datetime

import polars as pl

from tasks.notifications import changes
from tasks.store.connection import Transaction
from tasks.store.migrations import statements

# The hashes that became dangerous, are no longer dangerous, or are so from another time on.
CHANGED_HASHES = """
    SELECT t.tenant, t.file_sha256, d.first_alert_at AS before, n.first_alert_at AS now
    FROM touched t
    LEFT JOIN internal.dangerous_hashes d USING (tenant, file_sha256)
    LEFT JOIN (
        SELECT tenant, file_sha256, min(dangerous_at) AS first_alert_at FROM internal.groups
        WHERE dangerous_at IS NOT NULL AND file_sha256 IN (SELECT file_sha256 FROM touched)
        GROUP BY ALL
    ) n USING (tenant, file_sha256)
    WHERE d.first_alert_at IS DISTINCT FROM n.first_alert_at
"""
# The first 32 and the last 128 bits of a hash, as low_hashes stores them: 160 bits identify it.
HASH = "('0x' || left(file_sha256, 8))::UINTEGER AS hash_prefix, unhex(right(file_sha256, 32))::UUID AS hash_end"
# A table, because the planner knows its size and it is joined with all low scans. Most hashes that become dangerous are
# in no low scan, as low_hashes shows; `alone`: no other hash of low scans has the same first bits.
CREATE_CANDIDATES = f"""
    CREATE OR REPLACE TEMP TABLE candidates AS
    SELECT b.tenant, b.file_sha256, b.hash_prefix, count(*) = 1 AS alone
    FROM (SELECT tenant, file_sha256, {HASH} FROM began) b JOIN internal.low_hashes l USING (hash_prefix)
    GROUP BY ALL HAVING bool_or(l.hash_end = b.hash_end)
"""
# The full hashes, 16 times as large, are read only if the first bits are ambiguous.
INSERT_EXPOSED = """
    INSERT INTO internal.exposed_scans
    SELECT s.tenant, s.scan_id, b.file_sha256, s.recipient
    FROM internal.low_scans s JOIN candidates b ON s.hash_prefix = b.hash_prefix AND s.tenant = b.tenant
    WHERE b.alone = $alone AND {}
"""
INSERT_EXPOSED_BY_PREFIX = INSERT_EXPOSED.format("true")
INSERT_EXPOSED_BY_HASH = INSERT_EXPOSED.format("s.file_sha256 = b.file_sha256")
INSERT_LOW_HASHES = f"""
    INSERT INTO internal.low_hashes
    SELECT * FROM (SELECT {HASH} FROM seen) ANTI JOIN internal.low_hashes USING (hash_prefix, hash_end)
"""
DELETE_LOW_HASHES = f"""
    DELETE FROM internal.low_hashes l WHERE NOT EXISTS (
        SELECT 1 FROM (SELECT DISTINCT {HASH} FROM internal.low_scans WHERE file_sha256 IS NOT NULL) s
        WHERE s.hash_prefix = l.hash_prefix AND s.hash_end = l.hash_end
    )
"""
DELETE_HASHES = "DELETE FROM internal.{} WHERE (tenant, file_sha256) IN (SELECT (tenant, file_sha256) FROM gone)"
INSERT_DANGEROUS = "INSERT INTO internal.dangerous_hashes SELECT tenant, file_sha256, now FROM found"
# No other hash has exposures, before or now.
HASHES_WITH_EXPOSURES = """
    SELECT * FROM counted SEMI JOIN internal.exposed_scans USING (tenant, file_sha256)
    UNION
    SELECT * FROM counted
    SEMI JOIN (SELECT tenant, file_sha256 FROM internal.groups WHERE exposure_count > 0) USING (tenant, file_sha256)
"""


def add_low_hashes(transaction: Transaction, hashes: pl.Series) -> None:
    """Add the hashes of low scans to low_hashes, the list of all hashes of low scans."""
    seen = hashes.drop_nulls().unique().alias("file_sha256").to_frame()
    if not seen.is_empty():
        transaction.run(INSERT_LOW_HASHES, seen=seen)


def remove_unused_low_hashes(transaction: Transaction) -> None:
    """Remove the hashes from low_hashes that no low scan has any more."""
    transaction.run(DELETE_LOW_HASHES)


def find_exposed_by_load(
    transaction: Transaction, tenant: str, first: datetime, last: datetime, now: datetime
) -> pl.DataFrame:
    """The low scans of this load, detected between two times, whose hash is already dangerous.

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


def record_exposures(transaction: Transaction, exposed: pl.DataFrame, replaced: pl.DataFrame) -> None:
    """Store exposures of hashes that are already dangerous; replaced scans (scan_id) may no longer be exposed."""
    if not replaced.is_empty():
        transaction.run(
            "DELETE FROM internal.exposed_scans WHERE scan_id IN (SELECT scan_id::UUID FROM replaced)",
            replaced=replaced,
        )
    if not exposed.is_empty():
        transaction.run(
            "INSERT INTO internal.exposed_scans BY NAME SELECT * EXCLUDE (new) REPLACE (scan_id::UUID AS scan_id) "
            "FROM fresh",
            fresh=exposed,
        )


def update_exposures(transaction: Transaction, touched: pl.DataFrame, exposed: pl.DataFrame) -> int:
    """Update the exposures of the hashes of touched alerts, and the exposure counts of those and the `exposed` hashes.

    Both frames: tenant, file_sha256. Returns how many scans are exposed by a hash that has become dangerous.
    """
    touched = touched.select("tenant", "file_sha256").drop_nulls().unique()
    counted = pl.concat([touched, exposed.select("tenant", "file_sha256")]).unique()
    if counted.is_empty():
        return 0
    found = _mark_dangerous(transaction, touched) if not touched.is_empty() else 0
    counted = transaction.frame(HASHES_WITH_EXPOSURES, counted=counted)
    if not counted.is_empty():
        changes.snapshot_groups_of_hashes(transaction, counted)
        transaction.script(statements("count_exposures"), {}, counted=counted)
    return found


def _mark_dangerous(transaction: Transaction, touched: pl.DataFrame) -> int:
    """Update which of these hashes are dangerous, and their exposures; returns the number of new exposures.

    A hidden alert does not make its hash dangerous.
    """
    changed = transaction.frame(CHANGED_HASHES, touched=touched)
    new, ended = (changed.filter(pl.col(name).is_null()) for name in ("before", "now"))
    formerly, now = changed.drop_nulls("before"), changed.drop_nulls("now")
    found = 0
    if not new.is_empty():
        transaction.run(CREATE_CANDIDATES, began=new.select("tenant", "file_sha256"))
        kinds = transaction.rows("SELECT DISTINCT alone FROM candidates")
        for (alone,) in kinds:
            insert = INSERT_EXPOSED_BY_PREFIX if alone else INSERT_EXPOSED_BY_HASH
            found += int(transaction.rows(insert, {"alone": alone})[0][0])
    if not formerly.is_empty():
        transaction.run(DELETE_HASHES.format("dangerous_hashes"), gone=formerly)
    if not ended.is_empty():
        transaction.run(DELETE_HASHES.format("exposed_scans"), gone=ended)
    if not now.is_empty():
        transaction.run(INSERT_DANGEROUS, found=now)
    return found
