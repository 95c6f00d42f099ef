"""Remove everything one connector ever brought, in one transaction; groups it shared with others are made anew."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from tasks.groups import refresh, update_exposures

if TYPE_CHECKING:
    from tasks.database import Store

# Relation of the analysts → table with a connector_id.
TABLES = {
    "alerts": "alert_scans",
    "scans without alert": "low_scans",
    "rejects": "rejects",
    "windows": "windows",
    "coverage": "coverage",
}


def purge_counts(store: "Store", connector_id: UUID) -> dict[str, int]:
    """What a purge would remove, by kind."""
    with store.transaction() as transaction:
        return {
            kind: transaction.rows(
                f"SELECT count(*) FROM internal.{table} WHERE connector_id = $id", {"id": connector_id}
            )[0][0]
            for kind, table in TABLES.items()
        }


def purge(store: "Store", connector_id: UUID) -> None:
    """Remove the connector's rows and what was derived from them; publish at once."""
    now = datetime.now(UTC)
    own = {"id": connector_id}
    with store.transaction() as transaction:
        affected = transaction.frame(
            "SELECT DISTINCT group_id::VARCHAR AS group_id, tenant, file_sha256 FROM internal.alert_scans "
            "WHERE connector_id = $id",
            own,
        )
        for table in ("scan_changes", "exposed_scans"):
            transaction.run(
                f"""
                DELETE FROM internal.{table} WHERE scan_id IN (
                    SELECT scan_id FROM internal.alert_scans WHERE connector_id = $id
                    UNION ALL SELECT scan_id FROM internal.low_scans WHERE connector_id = $id
                )
                """,
                own,
            )
        transaction.run(
            "DELETE FROM internal.group_changes WHERE alert_id IN "
            "(SELECT scan_id FROM internal.alert_scans WHERE connector_id = $id)",
            own,
        )
        for table in (*TABLES.values(), "connectors"):
            transaction.run(f"DELETE FROM internal.{table} WHERE connector_id = $id", own)
        if not affected.is_empty():
            refresh(transaction, affected["group_id"], now)
            update_exposures(transaction, affected, affected.clear())
        transaction.changed = transaction.publish = True
