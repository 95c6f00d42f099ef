"""Runs the slices of a pull in parallel and records the result of each.

A failed slice does not affect the others. An OperatorError ends the run, which every further slice would meet as well.
"""

import logging
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from flows.runs.engine import Engine, SliceFuture, SliceResult
from flows.runs.running_slice import RunningSlice, record_failure, record_unfinished
from flows.runs.slice_stages import Pull, process_slice
from tasks.errors import AlertsError, OperatorError
from tasks.formatting import format_count, format_period
from tasks.ingest.run_stats import NOT_STORED, SENTENCES, RunStats
from tasks.sanitize import plain
from tasks.scratch import scratch_folder
from tasks.window import Slice

log = logging.getLogger("attachment_alerts.pull")

STOP_SECONDS = 10.0  # seconds for threads to end; Prefect kills a cancelled run after 30
# Python handles a signal only when the main thread runs, but the system may deliver it to another thread. So the main
# thread never waits for longer than this many seconds at a time.
POLL_SECONDS = 0.5


class _Started(NamedTuple):
    running: RunningSlice
    future: SliceFuture
    ended: threading.Event


def run_slices(pull: Pull, slices: Sequence[Slice], stats: RunStats, engine: Engine) -> None:
    """Process all slices, at most `fetch_concurrency` at a time.

    `stats` is updated after each slice, so that it is right if the run is stopped.
    """
    stats.shown_again = pull.beginning.shown_again
    stats.directory_days = pull.beginning.directory_days
    with scratch_folder(pull.store.settings.home) as folder:
        runner = _Runner(pull, slices, stats, engine, folder)
        try:
            engine.on_progress(0, len(slices))
            for finished in runner.run():
                engine.on_progress(finished, len(slices))
        finally:
            # Ctrl-C, a cancellation, a termination signal, or a defect of this program
            if cause := sys.exc_info()[1]:
                runner.stop(cause)
            stats.refusals = pull.stages.refusals
    _log_unknown_values(stats)


class _Runner:
    def __init__(self, pull: Pull, slices: Sequence[Slice], stats: RunStats, engine: Engine, folder: Path) -> None:
        self._pull, self._stats, self._engine, self._folder = pull, stats, engine, folder
        self._yields = any(slice_.trigger == "backfill" for slice_ in slices)  # a poll is short
        self._waiting = deque(slices)
        self._started: list[_Started] = []
        self._ended: SimpleQueue[_Started] = SimpleQueue()

    def run(self) -> Iterable[int]:
        """Process the slices; yield the number of finished ones after each."""
        while self._waiting or self._started:
            self._start_more()
            try:
                started = self._ended.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            self._finish(started)
            self._started.remove(started)
            yield self._stats.slices + self._stats.failed

    def stop(self, cause: BaseException) -> None:
        """Stop the running slices and record them. All threads must end before the scratch folder is deleted."""
        self._pull.stop.set()
        self._pull.stages.abort()
        until = time.monotonic() + STOP_SECONDS
        for started in self._started:
            started.ended.wait(max(0.0, until - time.monotonic()))
        unfinished = [started.running for started in self._started if not started.running.complete]
        record_unfinished(self._pull.store, self._pull.source, unfinished, cause)

    def _start_more(self) -> None:
        """Start as many slices as may run. While another run waits for the account, start none and yield to it."""
        must_yield = self._must_yield()
        # Fetched slices send no more requests, so another run may use the account while they are loaded.
        if must_yield and all(started.running.fetched.is_set() for started in self._started):
            self._pull.account.give_way()
            must_yield = self._must_yield()
        while self._waiting and len(self._started) < self._pull.store.settings.fetch_concurrency and not must_yield:
            self._start(self._waiting.popleft())
            must_yield = self._must_yield()

    def _must_yield(self) -> bool:
        return self._yields and bool(self._waiting) and self._pull.account.is_wanted()

    def _start(self, slice_: Slice) -> None:
        scratch = self._folder / f"{slice_.start:%Y%m%dT%H%M%S}-{slice_.trigger}"
        running = RunningSlice(slice_, scratch, self._engine.flow_run_id)
        future = self._engine.submit(slice_, partial(process_slice, self._pull, running))
        started = _Started(running, future, threading.Event())
        self._started.append(started)

        def note_end(_: object) -> None:
            started.ended.set()
            self._ended.put(started)

        future.add_done_callback(note_end)

    def _finish(self, started: _Started) -> None:
        """Count the slice, or record its failure. After an OperatorError no further slice starts."""
        try:
            result = started.future.result()
        except AlertsError as error:
            self._record_failure(started.running, error)
            if isinstance(error, OperatorError):
                self._waiting.clear()
        else:
            self._stats.add(
                result.report, result.loaded, low=result.low, unseen=result.unseen, leftover=result.leftover
            )
            _log_slice(result, self._pull.store.settings.recheck_hours)
        shutil.rmtree(started.running.scratch, ignore_errors=True)

    def _record_failure(self, running: RunningSlice, error: AlertsError) -> None:
        slice_, stats = running.slice_, self._stats
        stats.failed += 1
        stats.failed_rechecks += slice_.trigger == "recheck"
        if str(error) not in stats.errors:
            stats.errors.append(str(error))
        # An OperatorError ends the run, and the run's state shows its message.
        shown = isinstance(error, OperatorError) and str(error) in stats.errors[:SENTENCES]
        log.error(
            "%s %s failed%s", slice_.trigger, format_period(slice_.start, slice_.end), "" if shown else f": {error}"
        )
        record_failure(self._pull.store, self._pull.source, running.unfinished("failed"), error)


def _log_slice(result: SliceResult, recheck_hours: int) -> None:
    report = result.report
    log.info(
        "%s %s: %d received, %d new, %d changed, %d known already, %s%d rejected, %s (%s)",
        report.trigger,
        format_period(report.start_at, report.end_at),
        report.received,
        report.new,
        report.changed,
        report.duplicates,
        f"{report.expired} {NOT_STORED}, " if report.expired else "",
        report.rejected,
        format_count(result.loaded.alerts, "alert"),
        ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in result.seconds.items()),
    )
    if report.vendor_total is not None and report.received < report.vendor_total:
        log.warning(
            "%s %s: %d records were announced and %d were listed. The daily re-check reads the last %d h again; for "
            "older time start a backfill with `everything`.",
            report.trigger,
            format_period(report.start_at, report.end_at),
            report.vendor_total,
            report.received,
            recheck_hours,
        )


def _log_unknown_values(stats: RunStats) -> None:
    for value in sorted(stats.unseen):
        log.warning("unknown value, stored and treated as unrecognised: %s", plain(value))
    for name in sorted(stats.leftover):
        log.warning("the service sends an unknown field: %s", plain(name))
