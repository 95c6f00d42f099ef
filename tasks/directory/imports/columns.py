"""Rows of the stored directory; columns have other names in frames than in shared SQL."""

import polars as pl

from tasks.store.connection import Transaction

IDS = ("user_id", "device_id", "group_id", "import_id")
# Shared SQL has vendor-neutral names.
SQL_NAMES = {
    "entra_id": "cloud_id", "entra_device_id": "cloud_device_id", "entra_object_id": "cloud_object_id",
    "intune_id": "mdm_id",
}  # fmt: skip
FRAME_NAMES = {theirs: ours for ours, theirs in SQL_NAMES.items()}


def read_source_rows(transaction: Transaction, tenant: str, field: str) -> pl.DataFrame:
    """One field of SNAPSHOT_FRAMES, of all sources of the tenant."""
    table = f"source_{field}"
    names = [row[0] for row in transaction.rows(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'internal' AND table_name = $table "
        "AND database_name = current_database() ORDER BY column_index", {"table": table},
    )]  # fmt: skip
    columns = [f"{name}::VARCHAR AS {name}" if name in IDS else name for name in names if name != "tenant"]
    rows = transaction.frame(
        f"SELECT {', '.join(columns)} FROM internal.{table} WHERE tenant = $tenant", {"tenant": tenant}
    )
    return rows.rename(FRAME_NAMES, strict=False)


def replace_rows(transaction: Transaction, tenant: str, table: str, rows: pl.DataFrame) -> None:
    """Replace all rows of the tenant."""
    transaction.run(f"DELETE FROM internal.{table} WHERE tenant = $tenant", {"tenant": tenant})
    insert_rows(transaction, table, rows.with_columns(tenant=pl.lit(tenant)))


def insert_rows(transaction: Transaction, table: str, rows: pl.DataFrame) -> None:
    rows = rows.rename(SQL_NAMES, strict=False)
    columns = [f"{name}::UUID AS {name}" if name in IDS else name for name in rows.columns]
    transaction.run(f"INSERT INTO internal.{table} BY NAME SELECT {', '.join(columns)} FROM rows", rows=rows)
