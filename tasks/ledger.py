"""What the store knows of a connector's pulls: its origin, its coverage, one row for each attempted slice."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.registry import register
from tasks.suppression import end_due
from tasks.window import Interval, Progress, Slice, merge

if TYPE_CHECKING:
    from tasks.store.connection import Transaction
    from tasks.store.store import Store

State = Literal["complete", "complete_empty_tail", "failed", "cancelled"]


class Source(NamedTuple):
    """What the store has to know of a saved connector."""

    connector_id: UUID
    name: str
    product: str
    tenant: str
    polling_minutes: int
    detection_details_url: str
    key_expires_at: datetime | None
    first_look_back: timedelta
    polling: bool | None = None
    """whether its schedule is switched on; None: nobody has looked, what is known stays"""


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


class Report(NamedTuple):
    """One row of the relation `windows`."""

    start_at: datetime
    end_at: datetime
    trigger: str
    state: State
    started_at: datetime
    finished_at: datetime
    pages: int = 0
    received: int = 0
    accepted: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    expired: int = 0
    rejected: int = 0
    outside: int = 0
    vendor_total: int | None = None
    newest_at: datetime | None = None
    error_kind: str | None = None
    error: str | None = None
    flow_run_id: str | None = None


def begin(store: "Store", source: Source, now: datetime) -> Beginning:
    """Register the connector, keep its origin from its first poll on, and read where it stands.

    Ends entries of the allow-list whose time is over. Publishes if that changed anything, or if an earlier run was
    killed between its commit and its publication.
    """
    behind = store.published_revision()
    with store.transaction() as transaction:
        register(transaction, source)
        _begin_at(transaction, source, now, store.settings.settle)
        shown_again = end_due(transaction, datetime.now(UTC))
        stored = transaction.rows("SELECT revision FROM internal.store_state")[0][0]
        transaction.publish = transaction.changed or (behind != stored and store.may_publish())
        return Beginning(
            _progress(transaction, source.connector_id),
            frozenset(row[0] for row in transaction.rows(
                "SELECT replace(reject_id::VARCHAR, '-', '') FROM internal.rejects "
                "WHERE connector_id = $id AND resolved_at IS NULL", {"id": source.connector_id},
            )),
            _failing(transaction, source.connector_id),
            _directory_days(transaction, source.tenant),
            shown_again,
        )  # fmt: skip


def _directory_days(transaction: "Transaction", tenant: str) -> int:
    sql = "SELECT directory_age_hours // 24 FROM internal.directory_age WHERE tenant = $tenant AND too_old"
    return next((int(days) for (days,) in transaction.rows(sql, {"tenant": tenant})), 0)


def _begin_at(transaction: "Transaction", source: Source, now: datetime, settle: timedelta) -> None:
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


def _progress(transaction: "Transaction", connector_id: UUID) -> Progress:
    origin, rechecked_at = transaction.rows(
        "SELECT origin, rechecked_at FROM internal.connectors WHERE connector_id = $id", {"id": connector_id}
    )[0]
    return Progress(origin, _coverage(transaction, connector_id), rechecked_at)


def _coverage(transaction: "Transaction", connector_id: UUID) -> list[Interval]:
    rows = transaction.rows(
        "SELECT start_at, end_at FROM internal.coverage WHERE connector_id = $id ORDER BY start_at",
        {"id": connector_id},
    )
    return [Interval(*row) for row in rows]


def _failing(transaction: "Transaction", connector_id: UUID) -> bool | None:
    for relation in ("open_failures", "windows"):
        found = f"SELECT 1 FROM internal.{relation} WHERE connector_id = $id LIMIT 1"
        if transaction.rows(found, {"id": connector_id}):
            return relation == "open_failures"
    return None


def cover(transaction: "Transaction", source: Source, piece: Slice) -> None:
    """Add a completed slice to the coverage. A re-check reads covered time again and adds nothing."""
    if piece.trigger == "recheck":
        return
    before = _coverage(transaction, source.connector_id)
    after = merge([*before, Interval(piece.start, piece.end)])
    if after == before:
        return
    transaction.run("DELETE FROM internal.coverage WHERE connector_id = $id", {"id": source.connector_id})
    intervals = pl.DataFrame(after, schema=["start_at", "end_at"], orient="row")
    transaction.run(
        "INSERT INTO internal.coverage SELECT $tenant, $id, start_at, end_at FROM intervals",
        {"tenant": source.tenant, "id": source.connector_id},
        intervals=intervals,
    )


def record(transaction: "Transaction", source: Source, reports: Iterable[Report]) -> None:
    """Add attempted slices to `windows`."""
    for report in reports:
        facts = {"tenant": source.tenant, "connector_id": source.connector_id, **report._asdict()}
        names, values = ", ".join(facts), ", ".join(f"${name}" for name in facts)
        transaction.run(f"INSERT INTO internal.windows ({names}) VALUES ({values})", facts)


def whole(store: "Store", source: Source, began: datetime, failure: Exception | None, run: str | None) -> None:
    """Record a pull that reads all there is, whenever it is from: complete, it covers everything since the origin.

    What it brought has relations of its own.
    """
    with store.transaction() as transaction:
        origin = _progress(transaction, source.connector_id).origin
        piece = Slice(origin, max(origin, began.replace(microsecond=0)), "poll")
        report = Report(*piece, "failed" if failure else "complete", began, datetime.now(UTC), flow_run_id=run)
        if failure:
            report = report._replace(error_kind=type(failure).__name__, error=str(failure))
        else:
            report = report._replace(newest_at=began)
            cover(transaction, source, piece)
        record(transaction, source, [report])
        transaction.changed = transaction.publish = True


def rechecked(transaction: "Transaction", source: Source, began: datetime) -> None:
    """Remember that a complete re-check began at `began`."""
    transaction.run(
        "UPDATE internal.connectors SET rechecked_at = $began WHERE connector_id = $id",
        {"began": began, "id": source.connector_id},
    )
