"""The beginning of a pull in the store: the connector is registered, and what the run has to know is read."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from tasks.ingest.coverage import read_progress
from tasks.ingest.registry import register
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries
from tasks.window import Progress


class Beginning(NamedTuple):
    """What a run knows when it begins."""

    progress: Progress
    open_rejects: frozenset[str]
    """ids of unresolved rejects: a record among them that is accepted now resolves its reject"""
    failing: bool | None
    """whether there is a failed attempt whose time nobody has read since; None: there was no attempt at all"""
    directory_days: int = 0
    """age of the tenant's directory where it is too old, else 0"""
    shown_again: int = 0
    """alerts that expired entries of the allow-list no longer hide"""


def begin(store: Store, source: Source, now: datetime) -> Beginning:
    """Register the connector, keep its origin from its first poll on, and read where it stands.

    Ends entries of the allow-list whose time is over. Publishes if that changed anything, or if an earlier run was
    killed between its commit and its publication.
    """
    behind = store.published_revision()
    with store.transaction() as transaction:
        register(transaction, source)
        _set_origin(transaction, source, now, store.settings.settle)
        shown_again = expire_entries(transaction, datetime.now(UTC))
        stored = transaction.rows("SELECT revision FROM internal.store_state")[0][0]
        transaction.publish = transaction.changed or (behind != stored and store.may_publish())
        return Beginning(
            read_progress(transaction, source.connector_id),
            frozenset(row[0] for row in transaction.rows(
                "SELECT replace(reject_id::VARCHAR, '-', '') FROM internal.rejects "
                "WHERE connector_id = $id AND resolved_at IS NULL", {"id": source.connector_id},
            )),
            _failing(transaction, source.connector_id),
            _directory_days(transaction, source.tenant),
            shown_again,
        )  # fmt: skip


def _directory_days(transaction: Transaction, tenant: str) -> int:
    sql = "SELECT directory_age_hours // 24 FROM internal.directory_age WHERE tenant = $tenant AND too_old"
    return next((int(days) for (days,) in transaction.rows(sql, {"tenant": tenant})), 0)


def _set_origin(transaction: Transaction, source: Source, now: datetime, settle: timedelta) -> None:
    """Keep the origin, from the connector's first poll on, and where its first window ends."""
    transaction.run(
        "UPDATE internal.connectors SET origin = $origin, rechecked_at = $now, first_end_at = $first_end "
        "WHERE connector_id = $id AND origin IS NULL",
        {
            "origin": (now - source.first_look_back).replace(microsecond=0),
            "now": now,
            "first_end": now.replace(microsecond=0) - settle,
            "id": source.connector_id,
        },
    )


def _failing(transaction: Transaction, connector_id: UUID) -> bool | None:
    for relation in ("open_failures", "windows"):
        found = f"SELECT 1 FROM internal.{relation} WHERE connector_id = $id LIMIT 1"
        if transaction.rows(found, {"id": connector_id}):
            return relation == "open_failures"
    return None
