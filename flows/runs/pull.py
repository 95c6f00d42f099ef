"""Poll and backfill of any connector: which time, whose turn, what came of it.

A product's flow module names its flows and hands its stages in; everything else is the same for all.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from flows.artifacts.publish import RunContext, progress_artifact, run_context
from flows.artifacts.run_summary import Outcome
from flows.runs import events
from flows.runs.final_states import completed, failed_slices, started_after_cancel
from flows.runs.session import PullSession, open_pull_session
from flows.runs.slice_runner import pull_slices
from tasks.errors import AlertsError, SettingsError, StoreError
from tasks.formatting import lasting, stretch
from tasks.ingest import coverage
from tasks.ingest.retention_limits import PERIODS, limits
from tasks.ingest.run_stats import RunStats
from tasks.sanitize import plain
from tasks.settings import Settings
from tasks.store.store import AccountBusy
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
    whole_second,
)

log = logging.getLogger("attachment_alerts.pull")

POLL_PATIENCE = 30.0  # seconds a poll waits for another run of its account


def poll(name: str) -> State[Any]:
    """Fetch what is new, what failed earlier, and once a day the last hours again. The state of the flow run."""

    def work(told: RunContext) -> None:
        with open_pull_session(told, POLL_PATIENCE, Interval(*[told.began_at] * 2)) as begun:
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


def backfill(name: str, start: datetime, end: datetime, what: What) -> State[Any]:
    """Fetch a stretch of time by hand: all of it, or only what is not covered yet. The state of the flow run."""

    def work(told: RunContext) -> None:
        asked = Interval(whole_second(start), whole_second(end))
        if asked.start >= asked.end:
            raise SettingsError(
                "The end of a backfill must be later than its start. Correct the times and start it again."
            )
        with open_pull_session(told, None, asked) as begun:
            settings = begun.pull.store.settings
            if asked.start >= begun.now - settings.settle:
                raise SettingsError(
                    f"The time from {asked.start:%Y-%m-%d %H:%M} UTC on is not over yet, and polls will fetch it. "
                    "Begin a backfill earlier."
                )
            window = backfill_window(begun.pull.beginning.progress, asked, what, begun.now, settings)
            told.window = tuple(window)
            told.notes = _skipped(asked, window, begun.now - settings.settle) + _too_old(window, begun.now, settings)
            for note in told.notes:
                log.info("%s", note)
            _fetch(begun, cut(window, "backfill", settings), told)
            _conclude(begun, told)

    return _state_of(name, "backfill", work)


def _state_of(name: str, trigger: Trigger, work: Callable[[RunContext], None]) -> State[Any]:
    """Do the work, turn what it raises into a state with the error's own sentence, and write the run's pages."""
    if started_after_cancel():
        return Cancelled(message="Cancelled before it began.")
    with run_context(name, trigger) as told:
        summary = told.summary
        try:
            work(told)
            state = failed_slices(summary) if summary.failed else completed(summary)
        except AccountBusy as taken:
            summary.skipped = str(taken)
            state = Completed(name="Skipped", message=str(taken), data=summary.as_counts())
        except (AlertsError, OSError) as error:
            state = _ended_by(error, told)
        told.outcome = Outcome("skipped" if summary.skipped else state.type.value.lower(), state.message or "")
    return state


def _ended_by(error: AlertsError | OSError, told: RunContext) -> State[Any]:
    """The state of a run that an error has ended; nothing but the home's files raises an OSError here."""
    says = f"Files cannot be used: {error}. Check the disk and the rights of its folder."
    told.summary.failed += 1
    told.summary.errors.append(plain(says, 500) if isinstance(error, OSError) else str(error))
    if isinstance(error, OSError | StoreError):
        told.store = None  # waiting for it once more would tell nothing new
    return failed_slices(told.summary)


def _fetch(begun: PullSession, slices: list[Slice], told: RunContext) -> None:
    with progress_artifact(f"{told.connector} {told.trigger}", len(slices)) as progress:
        pull_slices(begun.pull._replace(progress=progress), slices, told.summary)


def _conclude(begun: PullSession, told: RunContext) -> None:
    begun.pull.publisher.at_end(turned=bool(told.summary.failed) != begun.pull.beginning.failing)
    events.send_run_events(begun.pull.store, begun.pull.source, told.trigger, told.summary)


def _note_recheck(begun: PullSession, summary: RunStats) -> None:
    """A re-check that failed is tried again in an hour, not at every poll: it reads a lot."""
    log.info(
        "re-check of the last %d h: %d records came late, by up to %s",
        begun.pull.store.settings.recheck_hours,
        summary.late,
        lasting(summary.late_by),
    )
    began = begun.now if not summary.failed_rechecks else begun.now - RECHECK_EVERY + timedelta(hours=1)
    with begun.pull.store.transaction() as transaction:
        coverage.mark_rechecked(transaction, begun.pull.source, began)


def _skipped(asked: Interval, window: list[Interval], newest: datetime) -> list[str]:
    """What of the time asked for is not fetched, in sentences."""
    notes = []
    if asked.end > newest:
        notes.append(f"the window ends at {newest:%Y-%m-%d %H:%M:%S} UTC: younger records may still be on their way")
    fetched = sum((each.end - each.start for each in window), timedelta())
    skipped = min(asked.end, newest) - asked.start - fetched
    if skipped > timedelta():
        notes.append(
            f"{lasting(skipped)} of the window are covered already and skipped; choose `everything` to read them again"
        )
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
        text = f"{name} {trigger} {stretch(window[0].start, window[-1].end)}"
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(run_id), name=text)
