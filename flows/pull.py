"""Poll and backfill of any connector: which time, whose turn, what came of it.

A product's flow module names its flows and hands its stages in; everything else is here.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows import events
from flows.artifacts import Told, progress_artifact, telling
from flows.pull_slices import pull_slices, record_failure
from flows.resurrected import begun_although_cancelled
from flows.run_page import Outcome
from flows.slices import Pull, Stages
from flows.sources import source_of
from tasks import ledger, registry
from tasks.connectors import load_connector
from tasks.database import Store
from tasks.errors import AlertsError, OperatorError, ServiceError, SettingsError, StoreError
from tasks.keeping import PERIODS, limits
from tasks.polled_connector import PolledConnector
from tasks.publishing import Publisher
from tasks.settings import Settings, load_settings
from tasks.summary import Summary
from tasks.turn import Turn, TurnTaken
from tasks.untrusted import plain
from tasks.window import (
    RECHECK_EVERY,
    Interval,
    Slice,
    Trigger,
    What,
    backfill_window,
    cut,
    poll_window,
    recheck_window,
    watermark,
    whole_second,
)

log = logging.getLogger("attachment_alerts.pull")
# Prefect shows the lines of extra loggers from their own level on, and without one only warnings.
logging.getLogger("attachment_alerts").setLevel(logging.INFO)

POLL_PATIENCE = 30.0  # seconds a poll waits for another run of its account
CLOCK_TOLERANCE = timedelta(seconds=5)
SENTENCES = 3  # errors told in the state of a run; `windows` has them all

MakeStages = Callable[[Any, ledger.Source, Settings, threading.Event], AbstractContextManager[Stages]]


class RunFailed(AlertsError):
    """What a failed run raises for whoever asks for its result; `counts` is what it did all the same."""

    def __init__(self, says: str, counts: dict[str, Any]) -> None:
        super().__init__(says)
        self.counts = counts


class Begun(NamedTuple):
    """A run that has registered itself and may ask its account."""

    pull: Pull
    now: datetime
    """by the service's clock where ours is off"""


def poll(name: str, make_stages: MakeStages) -> State[Any]:
    """Fetch what is new, what failed earlier, and once a day the last hours again. The state of the flow run."""

    def work(told: Told) -> None:
        with _begun(told, make_stages, POLL_PATIENCE, Interval(*[told.began_at] * 2)) as begun:
            before, settings = begun.pull.beginning.progress, begun.pull.store.settings
            window = poll_window(before, begun.now, settings)
            recheck = cut(recheck_window(before, begun.now, settings), "recheck", settings)
            _name_run(name, "poll", window)
            told.window = tuple(window)
            _fetch(begun, [*cut(window, "poll", settings), *recheck], told)
            if recheck:
                _note_recheck(begun, told.summary)
            _conclude(begun, told)

    return _state_of(name, "poll", work)


def backfill(name: str, make_stages: MakeStages, start: datetime, end: datetime, what: What) -> State[Any]:
    """Fetch a stretch of time by hand: all of it, or only what is not covered yet. The state of the flow run."""

    def work(told: Told) -> None:
        asked = Interval(whole_second(start), whole_second(end))
        if asked.start >= asked.end:
            raise SettingsError(
                "The end of a backfill must be later than its start. Correct the times and start it again."
            )
        with _begun(told, make_stages, None, asked) as begun:
            settings = begun.pull.store.settings
            window = backfill_window(begun.pull.beginning.progress, asked, what, begun.now, settings)
            told.window = tuple(window)
            told.notes = _skipped(asked, window, begun.now - settings.settle) + _too_old(window, begun.now, settings)
            for note in told.notes:
                log.info("%s", note)
            _fetch(begun, cut(window, "backfill", settings), told)
            _conclude(begun, told)

    return _state_of(name, "backfill", work)


def _state_of(name: str, trigger: Trigger, work: Callable[[Told], None]) -> State[Any]:
    """Do the work, turn what it raises into a state with the error's own sentence, and write the run's pages."""
    if begun_although_cancelled():
        return Cancelled(message="Cancelled before it began.")
    with telling(name, trigger) as told:
        summary = told.summary
        try:
            work(told)
            state = _failed(summary) if summary.failed else completed(summary)
        except TurnTaken as taken:
            summary.skipped = str(taken)
            state = Completed(name="Skipped", message=str(taken), data=summary.as_counts())
        except (AlertsError, OSError) as error:
            state = _ended_by(error, told)
        told.outcome = Outcome("skipped" if summary.skipped else state.type.value.lower(), state.message or "")
    return state


def _ended_by(error: AlertsError | OSError, told: Told) -> State[Any]:
    """The state of a run that an error has ended; nothing but the home's files raises an OSError here."""
    says = f"Files cannot be used: {error}. Check the disk and the rights of its folder."
    told.summary.failed += 1
    told.summary.errors.append(plain(says, 500) if isinstance(error, OSError) else str(error))
    if isinstance(error, OSError | StoreError):
        told.store = None  # waiting for it once more would tell nothing new
    return _failed(told.summary)


def _fetch(begun: Begun, slices: list[Slice], told: Told) -> None:
    with progress_artifact(f"{told.connector} {told.trigger}", len(slices)) as progress:
        pull_slices(begun.pull._replace(progress=progress), slices, told.summary)


def _conclude(begun: Begun, told: Told) -> None:
    begun.pull.publisher.at_end(turned=bool(told.summary.failed) != begun.pull.beginning.failing)
    events.end_of_run(begun.pull.store, begun.pull.source, told.trigger, told.summary)


def _note_recheck(begun: Begun, summary: Summary) -> None:
    """A re-check that failed is tried again in an hour, not at every poll: it reads a lot."""
    log.info(
        "re-check of the last %d h: %d records came late, by up to %s",
        begun.pull.store.settings.recheck_hours,
        summary.late,
        summary.late_by,
    )
    began = begun.now if not summary.failed_rechecks else begun.now - RECHECK_EVERY + timedelta(hours=1)
    with begun.pull.store.transaction() as transaction:
        ledger.rechecked(transaction, begun.pull.source, began)


@contextmanager
def _begun(told: Told, make_stages: MakeStages, patience: float | None, asked: Interval) -> Iterator[Begun]:
    """Register the connector, wait for its turn, open the connection, correct the clock."""
    connector = load_connector(told.connector)
    if not isinstance(connector, PolledConnector):
        raise SettingsError(f"{told.connector!r} brings no scans: it is pulled by the flow of its own product.")
    store = Store(load_settings())
    source = source_of(told.connector, connector)
    told.store, told.source = store, source
    stop = threading.Event()
    trigger: Literal["poll", "backfill"] = "poll" if patience is not None else "backfill"
    turn = Turn(store.settings.home, source.connector_id, stop)
    turn.take(patience)
    with ExitStack() as stack:
        stack.callback(turn.release)
        publisher = told.publisher = Publisher(store, trigger)
        try:
            stages = stack.enter_context(make_stages(connector, source, store.settings, stop))
            now = corrected_now(stages)
            beginning = ledger.begin(store, source, now)
        except (OperatorError, ServiceError) as error:
            # Nothing was asked for yet: the attempt is on record with the stretch it would have begun with.
            source = registry.where_its_rows_are(store, source)
            beginning = ledger.begin(store, source, datetime.now(UTC))
            begin = (
                watermark(beginning.progress.origin, beginning.progress.coverage) if trigger == "poll" else asked.start
            )
            record_failure(store, source, Slice(begin, max(begin, asked.end), trigger), error)
            publisher.at_end(turned=not beginning.failing)
            events.end_of_run(store, source, trigger, Summary(failed=1))
            raise
        yield Begun(Pull(stages, source, store, beginning, publisher, turn, stop), now)


def corrected_now(stages: Stages) -> datetime:
    """Now, by the service's clock where ours is off by more than 5 s."""
    offset = stages.clock_offset()
    if abs(offset) <= CLOCK_TOLERANCE:
        return datetime.now(UTC)
    log.warning(
        "this machine's clock and the service's differ by %.0f s; windows follow the service's. "
        "Set this machine's clock (NTP).",
        offset.total_seconds(),
    )
    stages.correct_clock(offset)
    return datetime.now(UTC) + offset


def completed(summary: Summary) -> State[Any]:
    """The counts are the result, of a failed run as well."""
    says = f"{summary.received} received, {summary.new} new, {summary.alerts} alerts, {summary.rejected} rejected."
    if summary.directory_days:
        says += f" The directory is {summary.directory_days} days old: import it again."
    return Completed(message=says, data=summary.as_counts())


def _failed(summary: Summary) -> State[Any]:
    """In the errors' own sentences. Prefect wants an exception as the result of what failed."""
    says = " ".join(summary.errors[:SENTENCES])
    if len(summary.errors) > SENTENCES:
        says += f" There were {len(summary.errors) - SENTENCES} more errors: see the relation windows."
    if summary.slices:
        says += f" {summary.slices} other slices are loaded."
    return Failed(message=says, data=RunFailed(says, summary.as_counts()))


def _skipped(asked: Interval, window: list[Interval], newest: datetime) -> list[str]:
    """What of the time asked for is not fetched, in sentences."""
    notes = []
    if asked.end > newest:
        notes.append(f"the window ends at {newest:%Y-%m-%d %H:%M:%S} UTC: younger records may still be on their way")
    fetched = sum((each.end - each.start for each in window), timedelta())
    skipped = min(asked.end, newest) - asked.start - fetched
    if skipped > timedelta():
        notes.append(f"{skipped} of the window are covered already and skipped; choose `everything` to read them again")
    return notes


DROPPED = {
    "raw_low": "scans without alert are stored without their raw record",
    "raw_alert": "alerts are stored without their raw record",
    "low": "only alerts are stored",
    "closed": "alerts that were closed and removed do not come back",
}
"""Limit of what is kept → what a backfill of older time leaves out."""


def _too_old(window: list[Interval], now: datetime, settings: Settings) -> list[str]:
    """What of the window retention has passed, in a sentence."""
    moments = limits(settings, now)
    passed = {name: moments[name] for name in DROPPED if window and window[0].start < moments[name]}
    if settings.keep_low != "full" or moments["raw_low"] <= moments["low"]:
        passed.pop("raw_low", None)  # none is stored anyway
    parts = [
        f"before {moment:%Y-%m-%d %H:%M} UTC {DROPPED[name]} "
        f"({getattr(settings, PERIODS[name])} days, ATTACHMENT_ALERTS_{PERIODS[name].upper()})"
        for name, moment in passed.items()
    ]
    return ["; ".join(parts)] if parts else []


def _name_run(name: str, trigger: str, window: list[Interval]) -> None:
    """Put the window into the run's name; it is known only after the store was read."""
    run_id = flow_run.get_id()
    if run_id and window:
        text = f"{name} {trigger} {window[0].start:%Y-%m-%d %H:%M} to {window[-1].end:%Y-%m-%d %H:%M}"
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(run_id), name=text)
