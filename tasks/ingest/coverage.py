"""Origin, coverage and attempted slices of a connector."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks import clock
from tasks.alerts import MOMENT
from tasks.errors import ClockWrong
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.store.store import Store
from tasks.window import Interval, Progress, Slice, cut_back, merge, watermark, whole_second

log = logging.getLogger("attachment_alerts.pull")

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


def add_coverage(transaction: Transaction, source: Source, slice_: Slice, covers_until: datetime | None = None) -> None:
    """Add a completed slice to the coverage, at most until this machine's present time and `covers_until`.

    A re-check reads covered time again and adds nothing.
    """
    if slice_.trigger == "recheck":
        return
    end = min(slice_.end, whole_second(clock.now()), covers_until or slice_.end)
    before = _coverage(transaction, source.connector_id)
    after = merge([*before, Interval(slice_.start, end)])
    if after != before:
        _replace_coverage(transaction, source, after)


def _replace_coverage(transaction: Transaction, source: Source, coverage: list[Interval]) -> None:
    transaction.run("DELETE FROM internal.coverage WHERE connector_id = $id", {"id": source.connector_id})
    intervals = pl.DataFrame(coverage, schema={"start_at": MOMENT, "end_at": MOMENT}, orient="row")
    transaction.run(
        "INSERT INTO internal.coverage SELECT $tenant, $id, start_at, end_at FROM intervals",
        {"tenant": source.tenant, "id": source.connector_id},
        intervals=intervals,
    )


def cut_back_future(transaction: Transaction, source: Source, now: datetime) -> None:
    """Remove coverage and a re-check after `now`, which a wrong clock has left, and record it in `windows`.

    Whatever claims the future was claimed when the clock was wrong, so the coverage is cut where the first attempt of
    that kind began.
    """
    before = read_progress(transaction, source.connector_id)
    covered = before.coverage[-1].end if before.coverage else before.origin
    limit = _first_claim_of(transaction, source, now) if covered > now else covered
    _date_attempts_back(transaction, source, limit, now)
    if max(covered, before.rechecked_at) <= now:
        return
    after = cut_back(before, limit, now)
    _replace_coverage(transaction, source, after.coverage)
    mark_rechecked(transaction, source, after.rechecked_at)
    start = limit if covered > now else watermark(after.origin, after.coverage)
    until = max(covered, before.rechecked_at)
    error = ClockWrong(
        f"Coverage or the last re-check lay after the present time, until {until:%Y-%m-%d %H:%M} UTC: a clock was "
        f"wrong. Time from {limit:%Y-%m-%d %H:%M} UTC on is fetched again. Check that this "
        "machine's clock is synchronised (NTP)."
    )
    log.warning("%s", error)
    report = Report(start, max(start, covered), "poll", "failed", now, now)
    record_reports(transaction, source, [report._replace(error_kind=type(error).__name__, error=str(error))])
    transaction.changed = True


def _first_claim_of(transaction: Transaction, source: Source, now: datetime) -> datetime:
    """When the first of the attempts began that claimed time after `now`; `now` if none is recorded."""
    first = transaction.rows(
        "SELECT min(started_at) FROM internal.windows "
        "WHERE connector_id = $id AND state LIKE 'complete%' AND trigger <> 'recheck' AND end_at > $now",
        {"id": source.connector_id, "now": now},
    )[0][0]
    return min(first or now, now)


def _date_attempts_back(transaction: Transaction, source: Source, limit: datetime, now: datetime) -> None:
    """A failed attempt in the future would count as open until that time, whatever is fetched meanwhile."""
    values = {"id": source.connector_id, "now": now}
    transaction.run(
        "UPDATE internal.windows SET started_at = least(started_at, $now), finished_at = $now "
        "WHERE connector_id = $id AND finished_at > $now",
        values,
    )
    transaction.run(
        "UPDATE internal.windows SET start_at = $limit "
        "WHERE connector_id = $id AND state = 'failed' AND start_at > $now",
        values | {"limit": limit},
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
