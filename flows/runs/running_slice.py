"""A slice under way: its stages in threads, and what is on record of it where it was not completed."""

import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from flows.runs.slice_tasks import Pull, extract, transform, validate
from tasks.ingest import coverage
from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.sanitize import plain
from tasks.source import Source
from tasks.store.store import Store
from tasks.window import Slice


class RunningSlice(NamedTuple):
    """A slice whose stages run in threads."""

    piece: Slice
    started_at: datetime
    scratch: Path
    extracted: PrefectFuture[Extracted]
    validated: PrefectFuture[Validated]
    transformed: PrefectFuture[Transformed]
    fetched: threading.Event
    settled: threading.Event
    """no stage is at work any more, whether all went well or not"""


def start(pull: Pull, piece: Slice, folder: Path) -> RunningSlice:
    """Hand its stages to the threads; each asks the one before it for its result."""
    scratch = folder / f"{piece.start:%Y%m%dT%H%M%S}-{piece.trigger}"
    extracted = extract.submit(pull.stages, piece, scratch)
    open_rejects = pull.beginning.open_rejects
    validated = validate.submit(
        pull.stages, piece, extracted.result, scratch, open_rejects, wait_for=[extracted], return_state=False
    )
    transformed = transform.submit(
        pull.stages, piece, validated.result, scratch, wait_for=[validated], return_state=False
    )
    fetched, settled = threading.Event(), threading.Event()
    extracted.add_done_callback(lambda _: fetched.set())
    transformed.add_done_callback(lambda _: settled.set())
    return RunningSlice(piece, datetime.now(UTC), scratch, extracted, validated, transformed, fetched, settled)


def record_failure(
    store: Store, source: Source, piece: Slice, error: Exception, one: RunningSlice | None = None
) -> None:
    """Add a failed attempt to `windows`; it covers nothing."""
    report = _unfinished(piece, "failed", one)._replace(error_kind=type(error).__name__, error=str(error))
    with store.transaction() as transaction:
        coverage.record(transaction, source, [report])


def _unfinished(piece: Slice, state: coverage.State, one: RunningSlice | None) -> coverage.Report:
    """What is known of an attempt that covered nothing."""
    now = datetime.now(UTC)
    report = coverage.Report(*piece, state, one.started_at if one else now, now, flow_run_id=flow_run.get_id())
    if one is None or not one.extracted.state.is_completed():
        return report
    extracted = one.extracted.result()
    return report._replace(pages=extracted.pages, received=extracted.received, vendor_total=extracted.vendor_total)


def record_unfinished(pull: Pull, under_way: Iterable[RunningSlice]) -> None:
    """Add what a run leaves to `windows` when an exception ends it, which is being handled: failed, or cancelled."""
    error = sys.exc_info()[1]
    state: coverage.State = "failed" if isinstance(error, Exception) else "cancelled"
    reports = [_unfinished(each.piece, state, each) for each in under_way]
    if state == "failed":
        says = f"{type(error).__name__}: {plain(str(error))} This is a defect of the program; report it with this text."
        reports = [each._replace(error_kind=type(error).__name__, error=says) for each in reports]
    if reports:
        with pull.store.transaction() as transaction:
            coverage.record(transaction, pull.source, reports)
            transaction.publish = True  # the end of this run is not reached any more
