"""A slice in progress, and its row in `windows` if it does not complete."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tasks.errors import AlertsError
from tasks.formatting import system_error
from tasks.ingest import coverage
from tasks.ingest.batches import Extracted
from tasks.sanitize import plain
from tasks.source import Source
from tasks.store.store import Store
from tasks.window import Slice


@dataclass
class RunningSlice:
    """Small, because the runner holds it until the slice has ended."""

    slice_: Slice
    scratch: Path
    flow_run_id: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    fetched: threading.Event = field(default_factory=threading.Event)
    """set when the slice sends no more requests"""
    pages: int = 0
    received: int = 0
    vendor_total: int | None = None
    complete: bool = False
    """whether it is committed"""

    def note_fetched(self, extracted: Extracted) -> None:
        self.pages, self.received = extracted.pages, extracted.received
        self.vendor_total = extracted.vendor_total

    def unfinished(self, state: coverage.State) -> coverage.Report:
        """The report of an attempt that did not complete."""
        return coverage.Report(
            *self.slice_,
            state,
            self.started_at,
            datetime.now(UTC),
            pages=self.pages,
            received=self.received,
            vendor_total=self.vendor_total,
            flow_run_id=self.flow_run_id,
        )


def record_failure(store: Store, source: Source, report: coverage.Report, error: Exception) -> None:
    """Add a failed attempt to `windows`."""
    failed = report._replace(state="failed", error_kind=type(error).__name__, error=str(error))
    with store.transaction() as transaction:
        coverage.record_reports(transaction, source, [failed])


def record_unfinished(store: Store, source: Source, running: Sequence[RunningSlice], cause: BaseException) -> None:
    """Add unfinished slices to `windows`: failed after an error, else cancelled."""
    if isinstance(cause, Exception):
        text = _describe(cause)
        kind = type(cause).__name__
        reports = [slice_.unfinished("failed")._replace(error_kind=kind, error=text) for slice_ in running]
    else:
        reports = [slice_.unfinished("cancelled") for slice_ in running]
    if reports:
        with store.transaction() as transaction:
            coverage.record_reports(transaction, source, reports)
            transaction.publish = True  # the run does not reach its regular end


def _describe(error: Exception) -> str:
    if isinstance(error, AlertsError):
        return str(error)
    if isinstance(error, OSError):
        return system_error(error)
    return f"{type(error).__name__}: {plain(str(error))} This is a defect of the program; report it with this text."
