"""The relation directory_imports: the files and pulls of a tenant's directory."""

from datetime import datetime

import polars as pl

from tasks.alerts import MOMENT
from tasks.directory.imports.columns import insert_rows
from tasks.store.connection import Transaction

NO_SOURCES = pl.DataFrame(
    schema={"source": pl.String, "has_aliases": pl.Boolean, "aliases_lost": pl.Boolean, "digests": pl.List(pl.String)}
)  # fmt: skip
IMPORT_SCHEMA = pl.Schema(
    {
        "import_id": pl.String(),
        "tenant": pl.String(),
        "source": pl.String(),
        "file_name": pl.String(),
        "family": pl.String(),
        "digest": pl.String(),
        "snapshot_at": MOMENT,
        "imported_at": MOMENT,
        "people": pl.Int64(),
        "devices": pl.Int64(),
        "addresses": pl.Int64(),
        "rejected": pl.Int64(),
        "warnings": pl.List(pl.String()),
        "has_aliases": pl.Boolean(),
        "aliases_lost": pl.Boolean(),
        "state": pl.String(),
    }
)


def count_imports(transaction: Transaction, tenant: str) -> int:
    """Number of imported parts of files and pulls."""
    sql = "SELECT count(*) FROM internal.directory_imports WHERE tenant = $tenant AND state = 'imported'"
    return int(transaction.rows(sql, {"tenant": tenant})[0][0])


def latest_imports(transaction: Transaction, tenant: str) -> pl.DataFrame:
    """source, has_aliases, aliases_lost, digests of the newest import of each source."""
    return transaction.frame(
        """
        SELECT source, bool_or(has_aliases) AS has_aliases, bool_or(aliases_lost) AS aliases_lost,
            list(digest ORDER BY digest) AS digests
        FROM (
            SELECT *, imported_at = max(imported_at) OVER (PARTITION BY source) AS newest
            FROM internal.directory_imports WHERE tenant = $tenant AND state = 'imported'
        )
        WHERE newest GROUP BY source
        """,
        {"tenant": tenant},
    ).cast(NO_SOURCES.schema)


def snapshots(transaction: Transaction, tenant: str) -> pl.DataFrame:
    """source, imported_at, snapshot_at of every import."""
    return transaction.frame(
        "SELECT source, imported_at, max(snapshot_at) AS snapshot_at FROM internal.directory_imports "
        "WHERE tenant = $tenant AND state = 'imported' GROUP BY source, imported_at",
        {"tenant": tenant},
    ).cast({"imported_at": MOMENT, "snapshot_at": MOMENT})


def is_unchanged(transaction: Transaction, tenant: str, imports: int) -> bool:
    """Whether the number of imports is still `imports`."""
    return count_imports(transaction, tenant) == imports


def record_imports(transaction: Transaction, rows: pl.DataFrame) -> None:
    insert_rows(transaction, "directory_imports", rows)


def confirm_sources(transaction: Transaction, tenant: str, confirmed: dict[str, datetime]) -> None:
    """Record when each of these sources was imported without changes, so that it counts as up to date."""
    for source, at in confirmed.items():
        transaction.run(
            "UPDATE internal.directory_imports i SET confirmed_at = greatest(confirmed_at, $at) "
            "WHERE tenant = $tenant AND source = $source AND state = 'imported' AND imported_at = "
            "(SELECT max(imported_at) FROM internal.directory_imports n "
            "WHERE n.tenant = i.tenant AND n.source = i.source AND n.state = 'imported')",
            {"tenant": tenant, "source": source, "at": at},
        )
