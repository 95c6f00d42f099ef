"""The store's table of connectors: their settings, their name, and whether they are still saved.

A home belongs to one Prefect API, which holds the saved connectors.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from tasks.errors import SettingsError
from tasks.sanitize import plain
from tasks.source import Source
from tasks.store.connection import Connection, Transaction
from tasks.store.store import Store

DATA_TABLES = ("windows", "coverage", "alert_scans", "low_scans", "rejects")

ConnectorRows = dict[UUID, dict[str, Any]]
"""Rows of `internal.connectors` by ID."""


class StoredConnector(NamedTuple):
    """A connector found by its name."""

    connector_id: UUID
    removed: bool
    """no longer saved"""


def upsert_connectors(store: Store, sources: Collection[Source]) -> None:
    """Register saved connectors before their first poll (health `never_run`), and the state of their schedules.

    Called periodically: the store is opened for writing only if the published copy is not up to date.
    """
    if published := store.is_published():
        with store.reader(modest=True) as copy:
            stored = _read_rows(copy)
        if not any(_differs(stored, source) for source in sources):
            return
    with store.transaction() as transaction:
        for source in sources:
            register(transaction, source)
        transaction.publish = transaction.changed or published  # also if the copy is outdated


def connector_names(store: Store) -> dict[UUID, str]:
    """By ID, the name of each connector that the published copy shows as saved."""
    if not store.is_published():
        return {}
    with store.reader(modest=True) as copy:
        stored = _read_rows(copy)
    return {connector_id: row["name"] for connector_id, row in stored.items() if row["removed_at"] is None}


def register(transaction: Transaction, source: Source) -> None:
    """Insert or update the row of a connector and clear its `removed_at`.

    Raises SettingsError if it has records of another tenant.
    """
    stored, values = _read_rows(transaction), _column_values(source)
    if source.connector_id not in stored:
        names, placeholders = ", ".join(values), ", ".join(f"${name}" for name in values)
        transaction.run(f"INSERT INTO internal.connectors ({names}) VALUES ({placeholders})", values)
        for other_id, row in stored.items():
            if row["name"] == source.name and row["removed_at"] is None:  # deleted, then saved again under its name
                _set(transaction, other_id, "removed_at", datetime.now(UTC))
    elif _differs(stored, source):
        if _leaves_rows(transaction, stored, source):
            raise SettingsError(_other_tenant_message(stored, source))
        assignments = ", ".join(f"{name} = ${name}" for name in values if name != "connector_id")
        transaction.run(f"UPDATE internal.connectors SET {assignments} WHERE connector_id = $connector_id", values)
    else:
        return
    transaction.changed = True


def other_tenants(store: Store, sources: Collection[Source]) -> dict[str, str]:
    """Connectors that have records of another tenant than they are saved for: an error message by name."""
    if store.is_published():
        with store.reader(modest=True) as copy:
            stored = _read_rows(copy)
        sources = [source for source in sources if _changes_tenant(stored, source)]
    if not sources or not store.exists():
        return {}
    with store.transaction() as transaction:
        stored = _read_rows(transaction)
        return {
            source.name: _other_tenant_message(stored, source)
            for source in sources
            if _leaves_rows(transaction, stored, source)
        }


def source_for_existing_tenant(store: Store, source: Source) -> Source:
    """The same connector with the tenant that its records belong to: a refused pull is recorded there."""
    with store.transaction() as transaction:
        stored = _read_rows(transaction)
        refused = _leaves_rows(transaction, stored, source)
    return source._replace(tenant=stored[source.connector_id]["tenant"]) if refused else source


def find_connector_by_name(store: Store, name: str) -> StoredConnector | None:
    """The connector that has, or last had, this name; a saved one is preferred to a removed one."""
    if not store.exists():
        return None
    with store.transaction() as transaction:
        found = transaction.rows(
            "SELECT connector_id, removed_at IS NOT NULL FROM internal.connectors WHERE name = $name "
            "ORDER BY removed_at DESC NULLS FIRST, origin DESC NULLS LAST LIMIT 1",
            {"name": name},
        )
    return StoredConnector(*found[0]) if found else None


def rename_connector(store: Store, connector_id: UUID, name: str) -> None:
    """Rename and publish."""
    with store.transaction() as transaction:
        _set(transaction, connector_id, "name", name)
        transaction.publish = True


def with_current_name(store: Store, source: Source) -> Source:
    """The same connector with its current name: it may have been renamed during the run."""
    with store.transaction() as transaction:
        row = _read_rows(transaction).get(source.connector_id)
    return source._replace(name=row["name"]) if row else source


def mark_removed(store: Store, connector_id: UUID, at: datetime) -> None:
    """Remove a connector from the health; its data stays."""
    with store.transaction() as transaction:
        _set(transaction, connector_id, "removed_at", at)
        transaction.publish = True


def _read_rows(tables: Connection) -> ConnectorRows:
    # All columns, whichever there are: the copy may have been published by an earlier version.
    rows = tables.frame("SELECT * REPLACE (connector_id::VARCHAR AS connector_id) FROM internal.connectors")
    return {UUID(row["connector_id"]): row for row in rows.iter_rows(named=True)}


def _differs(stored: ConnectorRows, source: Source) -> bool:
    row, values = stored.get(source.connector_id, {}), _column_values(source)
    return not row or any(row.get(name) != value for name, value in values.items() if name != "connector_id")


def _changes_tenant(stored: ConnectorRows, source: Source) -> bool:
    return source.connector_id in stored and stored[source.connector_id]["tenant"] != source.tenant


def _leaves_rows(transaction: Transaction, stored: ConnectorRows, source: Source) -> bool:
    """Whether it would leave rows behind in another tenant."""
    return _changes_tenant(stored, source) and any(
        transaction.rows(
            f"SELECT 1 FROM internal.{table} WHERE connector_id = $id LIMIT 1", {"id": source.connector_id}
        )
        for table in DATA_TABLES
    )


def _other_tenant_message(stored: ConnectorRows, source: Source) -> str:
    tenant = plain(stored[source.connector_id]["tenant"])
    return (
        f"The connector {source.name!r} has records of the tenant {tenant!r} and cannot be moved to "
        f"{source.tenant!r}. Set the tenant back, in the Prefect UI or with `attachment-alerts connectors set "
        f"{source.name} --tenant {tenant}`. If its account belongs to {source.tenant!r}, remove the connector (--purge "
        "also deletes its records) and add a new one."
    )


def _column_values(source: Source) -> dict[str, Any]:
    values: dict[str, Any] = source._asdict() | {"removed_at": None}
    del values["first_look_back"]
    if source.polling is None:
        del values["polling"]
    return values


def _set(transaction: Transaction, connector_id: UUID, column: str, value: str | datetime) -> None:
    transaction.run(
        f"UPDATE internal.connectors SET {column} = $value WHERE connector_id = $id",
        {"value": value, "id": connector_id},
    )
    transaction.changed = True
