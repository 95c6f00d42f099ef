"""The slices of a pull, whichever product: run concurrently, loaded one after the other, on record however they end.

A slice that fails is reported and leaves the others alone; an error that a person must mend ends the run, for every
further slice would meet it too.
"""

import gc
import logging
import shutil
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.runs.final_states import SENTENCES
from flows.runs.running_slice import RunningSlice, record_failure, record_unfinished, start
from flows.runs.slice_tasks import Pull, load
from tasks.errors import AlertsError, OperatorError, StoreError
from tasks.formatting import several, stretch
from tasks.ingest.batches import BATCH_ROWS
from tasks.ingest.gil_tuning import brisk
from tasks.ingest.run_stats import RunStats
from tasks.sanitize import plain
from tasks.scratch import scratch_folder
from tasks.window import Slice

log = logging.getLogger("attachment_alerts.pull")

STOPPING = 10.0  # seconds for threads to end; Prefect kills a cancelled run after 30
# Seconds between two looks at what is asked of this run: a signal that the system hands to another thread is only acted
# on when the main one wakes up, and a future's result may be a quarter of an hour away.
LOOK = 0.5


def pull_slices(pull: Pull, slices: Sequence[Slice], summary: RunStats) -> None:
    """Fetch and load all slices, concurrently within the account's limit; one that fails does not stop the others.

    `summary` is counted up on the way, so that it tells of a run that is stopped, too.
    """
    summary.shown_again = pull.beginning.shown_again
    summary.directory_days = pull.beginning.directory_days
    waiting, collected = deque(slices), 0
    under_way: deque[RunningSlice] = deque()
    with scratch_folder(pull.store.settings.home) as folder, brisk():
        try:
            while waiting or under_way:
                _start_more(pull, slices, waiting, under_way, folder)
                if not under_way:
                    continue
                if not _ended(pull, under_way[0], summary):
                    waiting.clear()
                shutil.rmtree(under_way.popleft().scratch, ignore_errors=True)
                pull.progress(summary.slices + summary.failed, len(slices))
                if summary.received - collected >= BATCH_ROWS:
                    # What Prefect keeps of a task refers to itself, and the collector counts objects, not the size of
                    # the frames among them: left to itself, it lets a long backfill grow beyond a gigabyte.
                    gc.collect()
                    collected = summary.received
        finally:
            # What is left under way here was stopped from outside (Ctrl-C, a cancellation, a termination signal), or by
            # a defect of this program, which must not look like somebody's wish.
            pull.stop.set()
            pull.stages.cut()
            record_unfinished(pull, under_way)
            _wait_briefly(under_way)
            summary.refusals = pull.stages.refusals
    _mention_once(summary)


def _start_more(
    pull: Pull, slices: Sequence[Slice], waiting: deque[Slice], under_way: deque[RunningSlice], folder: Path
) -> None:
    """Start as many as may run at once; none while another run waits for its account, which it is given."""
    wanted = _is_wanted(pull, slices)
    # What is fetched already asks nobody any more, so it need not be loaded before another run's account.
    if wanted and all(each.fetched.is_set() for each in under_way):
        pull.account.give_way()
    while waiting and len(under_way) < pull.store.settings.fetch_concurrency and not wanted:
        under_way.append(start(pull, waiting.popleft(), folder))
        wanted = _is_wanted(pull, slices)


def _is_wanted(pull: Pull, slices: Sequence[Slice]) -> bool:
    """Whether to let another run go first. A poll is short and is not interrupted."""
    return slices[0].trigger == "backfill" and pull.account.is_wanted()


def _wait_briefly(under_way: Iterable[RunningSlice]) -> None:
    """Until the threads have seen the stop signal: none may write any more where the scratch folder is removed."""
    until = time.monotonic() + STOPPING
    for each in under_way:
        each.settled.wait(max(0.0, until - time.monotonic()))


def _ended(pull: Pull, one: RunningSlice, summary: RunStats) -> bool:
    """Load the slice, or report why it failed; False where every further one would fail, too."""
    try:
        _finish(pull, one, summary)
    except AlertsError as error:
        _report_failure(pull, one, error, summary)
        return not isinstance(error, OperatorError)
    return True


def _finish(pull: Pull, one: RunningSlice, summary: RunStats) -> None:
    while not one.settled.wait(LOOK):
        pass
    try:
        # In this order: of a chain that broke, the first broken stage holds the error.
        extracted, validated, transformed = one.extracted.result(), one.validated.result(), one.transformed.result()
    except OSError as cause:
        raise StoreError(f"Scratch files in {one.scratch.parent} cannot be used: {cause}. Check the disk.") from cause
    report, loaded = load(pull, one.piece, extracted, validated, transformed)
    summary.add(report, validated, transformed, loaded)
    log.info(
        "%s %s: %d received, %d new, %d changed, %d known already, %d rejected, %s",
        report.trigger,
        stretch(report.start_at, report.end_at),
        report.received,
        report.new,
        report.changed,
        report.duplicates,
        report.rejected,
        several(loaded.alerts, "alert"),
    )


def _report_failure(pull: Pull, one: RunningSlice, error: AlertsError, summary: RunStats) -> None:
    piece = one.piece
    summary.failed += 1
    summary.failed_rechecks += piece.trigger == "recheck"
    if str(error) not in summary.errors:
        summary.errors.append(str(error))
    # What a person has to mend ends the run, and the run's own state says it at once.
    told = isinstance(error, OperatorError) and str(error) in summary.errors[:SENTENCES]
    log.error("%s %s failed%s", piece.trigger, stretch(piece.start, piece.end), "" if told else f": {error}")
    record_failure(pull.store, pull.source, piece, error, one)


def _mention_once(summary: RunStats) -> None:
    for word in sorted(summary.unseen):
        log.warning("never seen before, kept and treated as unrecognised: %s", plain(word))
    for name in sorted(summary.leftover):
        log.warning("the service sends a field that is not known here: %s", plain(name))
