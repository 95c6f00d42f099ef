"""Poll and backfill of any connector, without Prefect: chooses the window, takes the account lock, fetches and loads.

`flows/runs/pull_flow.py` runs it in Prefect.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from flows.artifacts.run_context import RunContext
from flows.runs.engine import Engine
from flows.runs.session import PullSession, open_pull_session, record_clock_fault
from flows.runs.slice_runner import run_slices
from tasks import clock
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
    """Fetch new records, slices that failed earlier, and once a day the last hours again.

    Failed slices are counted and recorded. Raises AccountBusy, and AlertsError if no slice could start.
    """
    requested = Interval(context.began_at, context.began_at)  # a poll's window is not known before it has begun
    with open_pull_session(context, connector, engine, POLL_PATIENCE, requested) as session:
        before, settings = session.pull.beginning.progress, session.pull.store.settings
        window = poll_window(before, session.present.now, settings)
        recheck = split_into_slices(recheck_window(before, session.present.now, settings), "recheck", settings)
        _run(session, context, engine, window, [*split_into_slices(window, "poll", settings), *recheck])
        if recheck:
            _record_recheck(session, context.stats)
        _finish(session, context, engine)
    return context.stats


def backfill(
    context: RunContext, connector: Connector, engine: Engine, start: datetime, end: datetime, what: What
) -> RunStats:
    """Fetch a given period: all of it, or only what is not covered yet. Raises the same as `poll`."""
    requested = Interval(whole_second(start), whole_second(end))
    if requested.start >= requested.end:
        raise SettingsError("The end of a backfill must be later than its start. Correct the times and start it again.")
    with open_pull_session(context, connector, engine, None, requested) as session:
        settings = session.pull.store.settings
        newest = session.present.now - settings.settle
        if requested.start >= newest:
            raise SettingsError(
                f"The start {requested.start:%Y-%m-%d %H:%M} UTC is too recent: polls fetch that time. "
                "Choose an earlier start."
            )
        window = backfill_window(session.pull.beginning.progress, requested, what, session.present.now, settings)
        context.notes = _skipped(requested, window, newest) + _older_than_retention(
            window, session.present.now, settings
        )
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
    if session.present.is_doubtful:
        record_clock_fault(session, engine.flow_run_id)
    failing = bool(context.stats.failed) or session.present.is_doubtful
    pull.publisher.at_end(health_changed=failing != pull.beginning.failing)
    engine.on_end(pull.store, pull.source, context.trigger, context.stats)


def _record_recheck(session: PullSession, stats: RunStats) -> None:
    """A failed re-check is repeated after an hour, not at every poll, because it reads a lot."""
    log.info(
        "re-check of the last %d h: %d records arrived late, by up to %s",
        session.pull.store.settings.recheck_hours,
        stats.late,
        format_duration(stats.late_by),
    )
    began_at = min(session.present.now, clock.now())
    if stats.failed_rechecks:
        began_at += timedelta(hours=1) - RECHECK_EVERY
    with session.pull.store.transaction() as transaction:
        coverage.mark_rechecked(transaction, session.pull.source, began_at)


def _skipped(requested: Interval, window: list[Interval], newest: datetime) -> list[str]:
    """Notes on the parts of the requested period that are not fetched."""
    notes = []
    if requested.end > newest:
        notes.append(f"the window ends at {newest:%Y-%m-%d %H:%M:%S} UTC: later records may not be available yet")
    fetched = sum((end - start for start, end in window), timedelta())
    skipped = min(requested.end, newest) - requested.start - fetched
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
"""Retention limit → what a backfill of an older period does not store."""


def _older_than_retention(window: list[Interval], now: datetime, settings: Settings) -> list[str]:
    """A note on what is not stored because retention would remove it."""
    moments = limits(settings, now)
    exceeded = {name: moments[name] for name in NOT_STORED if window and window[0].start < moments[name]}
    if settings.keep_low != "full" or moments["raw_low"] <= moments["low"]:
        exceeded.pop("raw_low", None)  # not stored anyway
    parts = [
        f"before {moment:%Y-%m-%d %H:%M} UTC {NOT_STORED[name]} "
        f"({getattr(settings, PERIODS[name])} days, ATTACHMENT_ALERTS_{PERIODS[name].upper()})"
        for name, moment in exceeded.items()
    ]
    return ["; ".join(parts)] if parts else []
