"""Remove everything that one connector has loaded, in one transaction; groups shared with others are rebuilt."""

from datetime import UTC, datetime
from uuid import UUID

from tasks.groups.exposures import remove_unused_low_hashes, update_exposures
from tasks.groups.groups import update_groups
from tasks.store.connection import Transaction
from tasks.store.store import Store

TABLES = {
    "alerts": "alert_scans",
    "scans without alert": "low_scans",
    "rejects": "rejects",
    "windows": "windows",
    "coverage": "coverage",
}
"""Kind of data → its table with a connector_id."""


def count_rows_to_purge(store: Store, connector_id: UUID) -> dict[str, int]:
    """Number of rows that a purge would remove, by kind."""
    with store.transaction() as transaction:
        return {
            kind: transaction.rows(
                f"SELECT count(*) FROM internal.{table} WHERE connector_id = $id", {"id": connector_id}
            )[0][0]
            for kind, table in TABLES.items()
        }


def purge(store: Store, connector_id: UUID) -> None:
    """Remove the connector's rows and everything derived from them; publish."""
    now = datetime.now(UTC)
    own = {"id": connector_id}
    with store.transaction() as transaction:
        # With their old key, so that its other alerts are grouped again: a removed alert may have connected two others.
        alerts = transaction.frame(
            """
            SELECT
                tenant, file_sha256, group_key::VARCHAR AS group_key, group_key::VARCHAR AS old_group_key,
                replace(group_id::VARCHAR, '-', '') AS group_id, detected_at
            FROM internal.alert_scans WHERE connector_id = $id
            """,
            own,
        )
        exposed = transaction.frame(
            "SELECT DISTINCT tenant, file_sha256 FROM internal.exposed_scans "
            "SEMI JOIN (SELECT scan_id FROM internal.low_scans WHERE connector_id = $id) USING (scan_id)",
            own,
        )
        _delete(transaction, own)
        update_groups(transaction, alerts, store.settings, now)
        update_exposures(transaction, alerts, exposed)
        remove_unused_low_hashes(transaction)
        transaction.changed = transaction.publish = True


def _delete(transaction: Transaction, own: dict[str, UUID]) -> None:
    scans = " UNION ALL ".join(
        f"SELECT scan_id FROM internal.{table} WHERE connector_id = $id" for table in ("alert_scans", "low_scans")
    )
    of_scans, of_alerts = ("scan_changes", "exposed_scans"), ("group_changes", "triage_log", "decisions", "suppressed")
    for table in (*of_scans, *of_alerts):
        column = "scan_id" if table in of_scans else "alert_id"
        transaction.run(f"DELETE FROM internal.{table} WHERE {column} IN ({scans})", own)
    for table in (*TABLES.values(), "removed_alerts", "connectors"):
        transaction.run(f"DELETE FROM internal.{table} WHERE connector_id = $id", own)
