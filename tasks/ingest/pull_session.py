"""The start of a pull in the store: registers the connector and reads what the run needs."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from tasks import clock
from tasks.ingest.coverage import cut_back_future, read_progress
from tasks.ingest.registry import register
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries
from tasks.window import Progress


class Beginning(NamedTuple):
    """The state of the store when a run begins."""

    progress: Progress
    open_rejects: frozenset[str]
    """ids of unresolved rejects; accepting the record of one of them resolves it"""
    failing: bool | None
    """whether a failed attempt has not been made up for yet; None: there was no attempt"""
    directory_days: int = 0
    """age of the tenant's directory if it is too old, else 0"""
    shown_again: int = 0
    """alerts that expired entries of the allow-list no longer hide"""


def begin(store: Store, source: Source, now: datetime) -> Beginning:
    """Register the connector, set its origin if this is its first run, and read its progress.

    Cuts back what a wrong clock has left. Ends expired entries of the allow-list. Publishes if that changed anything,
    or if an earlier run was killed between its commit and its publication.
    """
    published = store.published_revision()
    with store.transaction() as transaction:
        register(transaction, source)
        _set_origin(transaction, source, now, store.settings.settle)
        cut_back_future(transaction, source, clock.now())
        shown_again = expire_entries(transaction, datetime.now(UTC))
        stored = transaction.revision()
        transaction.publish = transaction.changed or (published != stored and store.may_publish())
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
    """Set the origin and the end of the first window, if this is the connector's first run.

    An origin in the future was set while the clock was wrong.
    """
    transaction.run(
        "UPDATE internal.connectors SET origin = $origin, rechecked_at = $now, first_end_at = $first_end "
        "WHERE connector_id = $id AND (origin IS NULL OR origin > $present)",
        {
            "origin": (now - source.first_look_back).replace(microsecond=0),
            "now": now,
            "first_end": now.replace(microsecond=0) - settle,
            "present": clock.now(),
            "id": source.connector_id,
        },
    )


def _failing(transaction: Transaction, connector_id: UUID) -> bool | None:
    for relation in ("open_failures", "windows"):
        found = f"SELECT 1 FROM internal.{relation} WHERE connector_id = $id LIMIT 1"
        if transaction.rows(found, {"id": connector_id}):
            return relation == "open_failures"
    return None
