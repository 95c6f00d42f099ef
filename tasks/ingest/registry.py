"""The store's table of connectors: their settings, their name, and whether they are still saved."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tasks.errors import SettingsError
from tasks.sanitize import plain
from tasks.source import Source
from tasks.store.connection import Connection, Transaction
from tasks.store.store import Store

BROUGHT = ("windows", "coverage", "alert_scans", "low_scans", "rejects")

# Without an attempt for so long a connector is not polled any more; a watermark of that age is `late` in the view.
PERIODS, GRACE = 3, timedelta(minutes=15)

Known = dict[UUID, dict[str, Any]]
"""Rows of `internal.connectors` by id"""


class KnownConnector(NamedTuple):
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
            known = _known(copy)
        if not any(_differs(known, each) for each in sources):
            return
    with store.transaction() as transaction:
        for source in sources:
            register(transaction, source)
        transaction.publish = transaction.changed or published  # also if the copy is outdated


def find_missing(store: Store, sources: Iterable[Source], undeployed: Collection[UUID] = ()) -> dict[UUID, str]:
    """Those that the copy shows as saved, that are not among these, and are saved no more; their names by id.

    A home may be served by two Prefect APIs, each of which knows its own connectors only. The `undeployed` were saved
    in this one; of the others it is known when nobody polls them any more.
    """
    if not store.is_published():
        return {}
    with store.reader(modest=True) as copy:
        known, alive = _known(copy), {source.connector_id for source in sources}
        others = {each: row for each, row in known.items() if row["removed_at"] is None and each not in alive}
        return {each: others[each]["name"] for each in {*_unpolled(copy, others), *(others.keys() & {*undeployed})}}


def mark_missing_removed(store: Store, connector_ids: Collection[UUID], undeployed: Collection[UUID] = ()) -> None:
    """Remove connectors that are no longer saved from the health; outside `undeployed` only if they are not polled."""
    if not connector_ids:
        return
    with store.transaction() as transaction:
        known = _known(transaction)
        found = {each: known[each] for each in connector_ids if each in known}
        for each in {*_unpolled(transaction, found), *(found.keys() & {*undeployed})}:
            _set(transaction, each, "removed_at", datetime.now(UTC))
        transaction.publish = True  # also if the copy is outdated


def register(transaction: Transaction, source: Source) -> None:
    """Insert or update the row of a connector and clear its `removed_at`.

    Raises SettingsError if it has records of another tenant.
    """
    known, facts = _known(transaction), _facts(source)
    if source.connector_id not in known:
        names, values = ", ".join(facts), ", ".join(f"${name}" for name in facts)
        transaction.run(f"INSERT INTO internal.connectors ({names}) VALUES ({values})", facts)
        for other, row in known.items():
            # A name is saved once in a Prefect API; where another one has it too, that connector's poll brings it back.
            if row["name"] == source.name and row["removed_at"] is None:
                _set(transaction, other, "removed_at", datetime.now(UTC))
    elif _differs(known, source):
        if _leaves_rows(transaction, known, source):
            raise SettingsError(_other_tenant(known, source))
        assignments = ", ".join(f"{name} = ${name}" for name in facts if name != "connector_id")
        transaction.run(f"UPDATE internal.connectors SET {assignments} WHERE connector_id = $connector_id", facts)
    else:
        return
    transaction.changed = True


def other_tenants(store: Store, sources: Collection[Source]) -> dict[str, str]:
    """Connectors that have records of another tenant than they are saved for: an error message by name."""
    if store.is_published():
        with store.reader(modest=True) as copy:
            known = _known(copy)
        sources = [each for each in sources if _moves(known, each)]
    if not sources or not store.exists():
        return {}
    with store.transaction() as transaction:
        known = _known(transaction)
        return {each.name: _other_tenant(known, each) for each in sources if _leaves_rows(transaction, known, each)}


def has_brought(store: Store, connector_id: UUID | None) -> bool:
    """Whether the tables have records or attempts of a connector."""
    if connector_id is None or not store.exists():
        return False
    with store.transaction() as transaction:
        return _has_rows(transaction, connector_id)


def source_for_existing_tenant(store: Store, source: Source) -> Source:
    """The same connector with the tenant that its records belong to: a refused pull is recorded there."""
    with store.transaction() as transaction:
        known = _known(transaction)
        refused = _leaves_rows(transaction, known, source)
    return source._replace(tenant=known[source.connector_id]["tenant"]) if refused else source


def find_connector_by_name(store: Store, name: str) -> KnownConnector | None:
    """The connector that has, or last had, this name; a saved one is preferred to a removed one."""
    if not store.exists():
        return None
    with store.transaction() as transaction:
        found = transaction.rows(
            "SELECT connector_id, removed_at IS NOT NULL FROM internal.connectors WHERE name = $name "
            "ORDER BY removed_at DESC NULLS FIRST, origin DESC NULLS LAST LIMIT 1",
            {"name": name},
        )
    return KnownConnector(*found[0]) if found else None


def rename_connector(store: Store, connector_id: UUID, name: str) -> None:
    """Rename and publish."""
    with store.transaction() as transaction:
        _set(transaction, connector_id, "name", name)
        transaction.publish = True


def with_current_name(store: Store, source: Source) -> Source:
    """The same connector with its current name: it may have been renamed during the run."""
    with store.transaction() as transaction:
        row = _known(transaction).get(source.connector_id)
    return source._replace(name=row["name"]) if row else source


def mark_removed(store: Store, connector_id: UUID, at: datetime) -> None:
    """Remove a connector from the health; its data stays."""
    with store.transaction() as transaction:
        _set(transaction, connector_id, "removed_at", at)
        transaction.publish = True


def _unpolled(tables: Connection, among: Known) -> list[UUID]:
    """Those whose last attempt is longer ago than any poll that goes on would let it be.

    Without an attempt nothing is known: it may be saved in another Prefect API, where it waits for its first test.
    """
    if not among:
        return []
    last = dict(tables.rows("SELECT connector_id, max(finished_at) FROM internal.windows GROUP BY connector_id"))
    now = datetime.now(UTC)

    def patience(row: dict[str, Any]) -> timedelta:
        return PERIODS * timedelta(minutes=row["polling_minutes"]) + GRACE

    return [each for each, row in among.items() if each in last and last[each] < now - patience(row)]


def _known(tables: Connection) -> Known:
    # Whatever columns there are: the copy may have been published by an earlier version.
    rows = tables.frame("SELECT * REPLACE (connector_id::VARCHAR AS connector_id) FROM internal.connectors")
    return {UUID(row["connector_id"]): row for row in rows.iter_rows(named=True)}


def _differs(known: Known, source: Source) -> bool:
    row, facts = known.get(source.connector_id, {}), _facts(source)
    return not row or any(row.get(name) != value for name, value in facts.items() if name != "connector_id")


def _moves(known: Known, source: Source) -> bool:
    return source.connector_id in known and known[source.connector_id]["tenant"] != source.tenant


def _leaves_rows(transaction: Transaction, known: Known, source: Source) -> bool:
    """Whether its rows belong to another tenant."""
    return _moves(known, source) and _has_rows(transaction, source.connector_id)


def _has_rows(transaction: Transaction, connector_id: UUID) -> bool:
    return any(
        transaction.rows(f"SELECT 1 FROM internal.{table} WHERE connector_id = $id LIMIT 1", {"id": connector_id})
        for table in BROUGHT
    )


def _other_tenant(known: Known, source: Source) -> str:
    tenant = plain(known[source.connector_id]["tenant"])
    return (
        f"The connector {source.name!r} belongs to the tenant {tenant!r}, whose records it has; it cannot be moved to "
        f"{source.tenant!r}. Set the tenant back, in the Prefect UI or with `attachment-alerts connectors set "
        f"{source.name} --tenant {tenant}`. If its account belongs to {source.tenant!r}, remove the connector (--purge "
        "also deletes its records) and add a new one."
    )


def _facts(source: Source) -> dict[str, Any]:
    facts: dict[str, Any] = source._asdict() | {"removed_at": None}
    del facts["first_look_back"]
    if source.polling is None:
        del facts["polling"]
    return facts


def _set(transaction: Transaction, connector_id: UUID, column: str, value: str | datetime) -> None:
    transaction.run(
        f"UPDATE internal.connectors SET {column} = $value WHERE connector_id = $id",
        {"value": value, "id": connector_id},
    )
    transaction.changed = True
