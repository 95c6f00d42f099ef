"""Poll and backfill of any connector, without Prefect: chooses the window, takes the account lock, fetches and loads.

`flows/runs/pull_flow.py` runs it in Prefect.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from flows.artifacts.run_context import RunContext
from flows.runs.engine import Engine
from flows.runs.session import PullSession, open_pull_session
from flows.runs.slice_runner import run_slices
from tasks.connectors.base import Connector
from tasks.errors import SettingsError
from tasks.formatting import format_duration
from tasks.ingest import coverage
from tasks.ingest.retention_limits import PERIODS, limits
from tasks.ingest.run_stats import RunStats
from tasks.settings import Settings
from tasks.window import (
    RECHECK_EVERY,
    Interval,
    Slice,
    What,
    backfill_window,
    poll_window,
    recheck_window,
    split_into_slices,
    whole_second,
)

log = logging.getLogger("attachment_alerts.pull")

POLL_PATIENCE = 30.0  # seconds a poll waits for another run of its account


def poll(context: RunContext, connector: Connector, engine: Engine) -> RunStats:
    """Fetch what is new, what failed earlier, and once a day the last hours again.

    Slices that failed are counted and recorded. Raises AccountBusy, and AlertsError where no slice could begin.
    """
    with open_pull_session(context, connector, engine, POLL_PATIENCE, Interval(*[context.began_at] * 2)) as session:
        before, settings = session.pull.beginning.progress, session.pull.store.settings
        window = poll_window(before, session.now, settings)
        recheck = split_into_slices(recheck_window(before, session.now, settings), "recheck", settings)
        _run(session, context, engine, window, [*split_into_slices(window, "poll", settings), *recheck])
        if recheck:
            _record_recheck(session, context.stats)
        _finish(session, context, engine)
    return context.stats


def backfill(
    context: RunContext, connector: Connector, engine: Engine, start: datetime, end: datetime, what: What
) -> RunStats:
    """Fetch a given time: all of it, or only what is not covered yet. Raises as `poll` does."""
    asked = Interval(whole_second(start), whole_second(end))
    if asked.start >= asked.end:
        raise SettingsError("The end of a backfill must be later than its start. Correct the times and start it again.")
    with open_pull_session(context, connector, engine, None, asked) as session:
        settings = session.pull.store.settings
        newest = session.now - settings.settle
        if asked.start >= newest:
            raise SettingsError(
                f"The time from {asked.start:%Y-%m-%d %H:%M} UTC on is not over yet; polls will fetch it. "
                "Choose an earlier start."
            )
        window = backfill_window(session.pull.beginning.progress, asked, what, session.now, settings)
        context.notes = _skipped(asked, window, newest) + _older_than_retention(window, session.now, settings)
        for note in context.notes:
            log.info("%s", note)
        _run(session, context, engine, window, split_into_slices(window, "backfill", settings))
        _finish(session, context, engine)
    return context.stats


def _run(
    session: PullSession, context: RunContext, engine: Engine, window: list[Interval], slices: Sequence[Slice]
) -> None:
    context.window = tuple(window)
    engine.on_window(window)
    run_slices(session.pull, slices, context.stats, engine)


def _finish(session: PullSession, context: RunContext, engine: Engine) -> None:
    pull = session.pull
    pull.publisher.at_end(turned=bool(context.stats.failed) != pull.beginning.failing)
    engine.on_end(pull.store, pull.source, context.trigger, context.stats)


def _record_recheck(session: PullSession, stats: RunStats) -> None:
    """A re-check that failed is repeated in an hour, not at every poll: it reads a lot."""
    log.info(
        "re-check of the last %d h: %d records came late, by up to %s",
        session.pull.store.settings.recheck_hours,
        stats.late,
        format_duration(stats.late_by),
    )
    began = session.now if not stats.failed_rechecks else session.now - RECHECK_EVERY + timedelta(hours=1)
    with session.pull.store.transaction() as transaction:
        coverage.mark_rechecked(transaction, session.pull.source, began)


def _skipped(asked: Interval, window: list[Interval], newest: datetime) -> list[str]:
    """What of the requested time is not fetched, and why."""
    notes = []
    if asked.end > newest:
        notes.append(f"the window ends at {newest:%Y-%m-%d %H:%M:%S} UTC: later records may not be available yet")
    fetched = sum((each.end - each.start for each in window), timedelta())
    skipped = min(asked.end, newest) - asked.start - fetched
    if skipped > timedelta():
        notes.append(
            f"{format_duration(skipped)} of the window are already covered and are skipped; "
            "choose `everything` to fetch them again"
        )
    return notes


NOT_STORED = {
    "raw_low": "scans without alert are stored without their raw record",
    "raw_alert": "alerts are stored without their raw record",
    "low": "only alerts are stored",
    "closed": "closed alerts that retention has removed are not restored",
}
"""Limit of what is kept → what a backfill of older time leaves out."""


def _older_than_retention(window: list[Interval], now: datetime, settings: Settings) -> list[str]:
    """What of the window is older than retention keeps."""
    moments = limits(settings, now)
    passed = {name: moments[name] for name in NOT_STORED if window and window[0].start < moments[name]}
    if settings.keep_low != "full" or moments["raw_low"] <= moments["low"]:
        passed.pop("raw_low", None)  # none is stored anyway
    parts = [
        f"before {moment:%Y-%m-%d %H:%M} UTC {NOT_STORED[name]} "
        f"({getattr(settings, PERIODS[name])} days, ATTACHMENT_ALERTS_{PERIODS[name].upper()})"
        for name, moment in passed.items()
    ]
    return ["; ".join(parts)] if parts else []
