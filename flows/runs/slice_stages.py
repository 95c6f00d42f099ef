"""Processes one slice in one thread: extract, validate, transform, load.

The batches do not leave `process_slice`; its result is small, because an engine may hold it until the run ends.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flows.runs.engine import SliceResult
from flows.runs.running_slice import RunningSlice
from tasks.errors import AlertsError, Stopped, StoreError
from tasks.ingest import coverage
from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.ingest.load import Loaded, close_slice, load_slice
from tasks.ingest.pull_session import Beginning
from tasks.ingest.stages import Stages
from tasks.source import Source
from tasks.store.publish_policy import Publisher
from tasks.store.store import AccountLock, Store


@dataclass(frozen=True)
class Pull:
    """What the slices of one run share."""

    stages: Stages
    source: Source
    store: Store
    beginning: Beginning
    publisher: Publisher
    account: AccountLock
    stop: threading.Event
    covers_until: datetime | None = None
    """no coverage of this run ends later"""
    load_lock: threading.Lock = field(default_factory=threading.Lock)
    """for loads, which run one after the other"""


def process_slice(pull: Pull, running: RunningSlice) -> SliceResult:
    """Run all stages. Raises AlertsError if the slice cannot complete; nothing of it is stored then."""
    try:
        return _run_stages(pull, running)
    except AlertsError as error:
        # The traceback would keep the batches in memory, because an engine may hold the error until the run ends.
        raise error.with_traceback(None)  # noqa: B904 - the same error
    finally:
        running.fetched.set()


def _run_stages(pull: Pull, running: RunningSlice) -> SliceResult:
    seconds: dict[str, float] = {}
    stages, scratch = pull.stages, running.scratch
    try:
        with _timed(seconds, "extract"):
            extracted = stages.extract(running.slice_, scratch)
        running.note_fetched(extracted)
        running.fetched.set()
        with _timed(seconds, "validate"):
            validated = stages.validate(extracted, scratch, pull.beginning.open_rejects)
        with _timed(seconds, "transform"):
            transformed = stages.transform(validated, scratch, running.slice_)
    except OSError as cause:
        raise StoreError(f"The scratch files in {scratch.parent} cannot be used: {cause}. Check the disk.") from cause
    with pull.load_lock, _timed(seconds, "load"):
        report, loaded = load(pull, running, extracted, validated, transformed)
    return SliceResult(report, loaded, transformed.low, transformed.unseen, validated.leftover, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin


def load(
    pull: Pull, running: RunningSlice, extracted: Extracted, validated: Validated, transformed: Transformed
) -> tuple[coverage.Report, Loaded]:
    """Commit the slice: rows, changes, rejects, groups, report and coverage in one transaction.

    Raises Stopped, and stores nothing, if the run is stopped before the commit.
    """
    slice_ = running.slice_
    _raise_if_stopped(pull)
    with pull.store.transaction() as transaction:
        loaded = load_slice(
            transaction, pull.source, transformed.scans, validated.rejects, validated.resolved, pull.store.settings
        )
        report = coverage.Report(
            slice_.start,
            slice_.end,
            slice_.trigger,
            "complete_empty_tail" if extracted.empty_tail else "complete",
            extracted.started_at,
            datetime.now(UTC),
            pages=extracted.pages,
            received=extracted.received,
            accepted=transformed.accepted,
            new=loaded.new,
            changed=loaded.changed,
            duplicates=loaded.duplicates,
            expired=loaded.expired,
            rejected=loaded.rejected,
            outside=transformed.outside,
            vendor_total=extracted.vendor_total,
            newest_at=transformed.newest_at,
            flow_run_id=running.flow_run_id,
        )
        close_slice(transaction, pull.source, slice_, report, pull.covers_until)
        _raise_if_stopped(pull)
        transaction.publish = pull.publisher.after_slice(changed=transaction.changed, high=loaded.high > 0)
    running.complete = True
    return report, loaded


def _raise_if_stopped(pull: Pull) -> None:
    if pull.stop.is_set():
        raise Stopped("Stopped before this slice was stored.")
