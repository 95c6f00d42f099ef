"""Origin, coverage and attempted slices of a connector."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.window import Interval, Progress, Slice, merge

State = Literal["complete", "complete_empty_tail", "failed", "cancelled"]


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


def read_progress(transaction: Transaction, connector_id: UUID) -> Progress:
    origin, rechecked_at = transaction.rows(
        "SELECT origin, rechecked_at FROM internal.connectors WHERE connector_id = $id", {"id": connector_id}
    )[0]
    return Progress(origin, _coverage(transaction, connector_id), rechecked_at)


def _coverage(transaction: Transaction, connector_id: UUID) -> list[Interval]:
    rows = transaction.rows(
        "SELECT start_at, end_at FROM internal.coverage WHERE connector_id = $id ORDER BY start_at",
        {"id": connector_id},
    )
    return [Interval(*row) for row in rows]


def add_coverage(transaction: Transaction, source: Source, slice_: Slice) -> None:
    """Add a completed slice to the coverage. A re-check reads covered time again and adds nothing."""
    if slice_.trigger == "recheck":
        return
    before = _coverage(transaction, source.connector_id)
    after = merge([*before, Interval(slice_.start, slice_.end)])
    if after == before:
        return
    transaction.run("DELETE FROM internal.coverage WHERE connector_id = $id", {"id": source.connector_id})
    intervals = pl.DataFrame(after, schema=["start_at", "end_at"], orient="row")
    transaction.run(
        "INSERT INTO internal.coverage SELECT $tenant, $id, start_at, end_at FROM intervals",
        {"tenant": source.tenant, "id": source.connector_id},
        intervals=intervals,
    )


def record_reports(transaction: Transaction, source: Source, reports: Iterable[Report]) -> None:
    """Add attempted slices to `windows`."""
    for report in reports:
        row = {"tenant": source.tenant, "connector_id": source.connector_id, **report._asdict()}
        names, values = ", ".join(row), ", ".join(f"${name}" for name in row)
        transaction.run(f"INSERT INTO internal.windows ({names}) VALUES ({values})", row)


def record_full_pull(
    store: Store, source: Source, began_at: datetime, failure: Exception | None, run: str | None
) -> None:
    """Record a pull that always reads everything: if complete, it covers all time since the origin.

    Its data is in relations of its own.
    """
    with store.transaction() as transaction:
        origin = read_progress(transaction, source.connector_id).origin
        slice_ = Slice(origin, max(origin, began_at.replace(microsecond=0)), "poll")
        report = Report(*slice_, "failed" if failure else "complete", began_at, datetime.now(UTC), flow_run_id=run)
        if failure:
            report = report._replace(error_kind=type(failure).__name__, error=str(failure))
        else:
            report = report._replace(newest_at=began_at)
            add_coverage(transaction, source, slice_)
        record_reports(transaction, source, [report])
        transaction.changed = transaction.publish = True


def mark_rechecked(transaction: Transaction, source: Source, began_at: datetime) -> None:
    """Store the start of a complete re-check."""
    transaction.run(
        "UPDATE internal.connectors SET rechecked_at = $began_at WHERE connector_id = $id",
        {"began_at": began_at, "id": source.connector_id},
    )
