"""Opens the pull of a connector: account lock, connection to the service, corrected clock, registration."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from flows.artifacts.run_context import RunContext
from flows.runs.engine import Engine
from flows.runs.running_slice import RunningSlice, record_failure
from flows.runs.slice_stages import Pull
from tasks import clock
from tasks.connectors.base import Connector
from tasks.errors import AlertsError, ClockWrong, OperatorError, ServiceError, SettingsError
from tasks.formatting import format_duration
from tasks.ingest import coverage, pull_session, registry
from tasks.ingest.connector_source import source_of
from tasks.ingest.pull_session import Beginning
from tasks.ingest.run_stats import RunStats
from tasks.ingest.stages import Stages
from tasks.products import get_product
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Interval, Present, Slice, present_time, watermark, whole_second

log = logging.getLogger("attachment_alerts.pull")


class PullSession(NamedTuple):
    """A registered run that holds the lock of its account."""

    pull: Pull
    present: Present


@contextmanager
def open_pull_session(
    context: RunContext, connector: Connector, engine: Engine, patience: float | None, requested: Interval
) -> Iterator[PullSession]:
    """Wait for the account at most `patience` seconds (None: no limit). Raises AccountBusy.

    `requested`: the time of the failed attempt that is recorded if the session cannot be opened; of a poll only its
    end is used.
    """
    make_stages = get_product(connector.product).stages
    if make_stages is None:
        raise SettingsError(
            f"The connector {context.connector!r} ({connector.product}) delivers no scans. "
            f"Start the flow of its own product, `{connector.product}`."
        )
    store = open_store(load_settings())
    source = source_of(context.connector, connector, scheduled=engine.is_scheduled)
    context.store, context.source = store, source
    stop = threading.Event()
    account = store.account(source.connector_id, stop)
    account.acquire(patience)
    with ExitStack() as stack:
        stack.callback(account.release)
        publisher = context.publisher = Publisher(store, "poll" if context.trigger == "poll" else "backfill")
        try:
            stages = stack.enter_context(make_stages(connector, source, store.settings, stop))
            present = read_clocks(stages)
            beginning = pull_session.begin(store, source, present.covers_until)
        except (OperatorError, ServiceError) as error:
            _record_refusal(context, store, source, requested, error, engine, publisher)
            raise
        covers_until = whole_second(present.covers_until) - store.settings.settle
        yield PullSession(Pull(stages, source, store, beginning, publisher, account, stop, covers_until), present)


def _record_refusal(
    context: RunContext,
    store: Store,
    source: Source,
    requested: Interval,
    error: AlertsError,
    engine: Engine,
    publisher: Publisher,
) -> None:
    """Record a failed attempt from where the run would have started; no request for records was sent."""
    source, beginning = begin_for_existing_tenant(store, source, clock.now())
    polled = context.trigger == "poll"
    begin = watermark(beginning.progress.origin, beginning.progress.coverage) if polled else requested.start
    slice_ = Slice(begin, max(begin, requested.end), context.trigger)
    attempt = RunningSlice(slice_, store.settings.home, engine.flow_run_id).unfinished("failed")
    record_failure(store, source, attempt, error)
    publisher.at_end(health_changed=not beginning.failing)
    engine.on_end(store, source, context.trigger, RunStats(failed=1))


def begin_for_existing_tenant(store: Store, source: Source, now: datetime) -> tuple[Source, Beginning]:
    """Begin a refused pull under the tenant of the connector's records, even if the connector names another one."""
    source = registry.source_for_existing_tenant(store, source)
    return source, pull_session.begin(store, source, now)


def read_clocks(stages: Stages) -> Present:
    """The present time; the stages follow the service's clock if it differs by more than 5 s and is believed."""
    offset = stages.clock_difference()
    present = present_time(clock.now(), offset)
    if offset is None:
        log.warning("The service does not report its time; this machine's clock is used.")
    elif present.is_doubtful:
        log.warning("%s", clock_fault(present))
    elif present.is_corrected:
        log.warning(
            "this machine's clock and the service's differ by %.0f s; windows follow the service's. "
            "Synchronise this machine's clock (NTP).",
            offset.total_seconds(),
        )
        stages.correct_clock(offset)
    return present


def clock_fault(present: Present) -> ClockWrong:
    """What the connector's health reports if the clocks differ by more than is believed."""
    direction = "ahead of" if present.offset > timedelta() else "behind"
    return ClockWrong(
        f"The service's clock is {format_duration(abs(present.offset))} {direction} this machine's, so one of them is "
        "wrong; windows follow this machine's, and time that either has not reached is fetched again. "
        "Synchronise this machine's clock (NTP)."
    )


def record_clock_fault(session: PullSession, flow_run_id: str | None) -> None:
    """Add a failed attempt to `windows`, at a time that the next poll reads: its health then reports the fault."""
    pull = session.pull
    with pull.store.transaction() as transaction:
        progress = coverage.read_progress(transaction, pull.source.connector_id)
    mark = watermark(progress.origin, progress.coverage)
    attempt = RunningSlice(Slice(mark, mark, "poll"), pull.store.settings.home, flow_run_id).unfinished("failed")
    record_failure(pull.store, pull.source, attempt, clock_fault(session.present))
