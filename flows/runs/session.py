"""Opens the pull of a connector: account lock, connection to the service, corrected clock, registration."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from flows.artifacts.run_context import RunContext
from flows.runs.engine import Engine
from flows.runs.running_slice import RunningSlice, record_failure
from flows.runs.slice_stages import Pull
from tasks.connectors.base import Connector
from tasks.errors import AlertsError, OperatorError, ServiceError, SettingsError
from tasks.ingest import pull_session, registry
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
from tasks.window import Interval, Slice, watermark

log = logging.getLogger("attachment_alerts.pull")

CLOCK_TOLERANCE = timedelta(seconds=5)


class PullSession(NamedTuple):
    """A registered run that holds the lock of its account."""

    pull: Pull
    now: datetime
    """by the service's clock if this machine's is off"""


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
            now = corrected_now(stages)
            beginning = pull_session.begin(store, source, now)
        except (OperatorError, ServiceError) as error:
            _record_refusal(context, store, source, requested, error, engine, publisher)
            raise
        yield PullSession(Pull(stages, source, store, beginning, publisher, account, stop), now)


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
    source, beginning = begin_for_existing_tenant(store, source, datetime.now(UTC))
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


def corrected_now(stages: Stages) -> datetime:
    """The present time, by the service's clock if this machine's differs by more than 5 s."""
    offset = stages.clock_offset()
    if abs(offset) <= CLOCK_TOLERANCE:
        return datetime.now(UTC)
    log.warning(
        "this machine's clock and the service's differ by %.0f s; windows follow the service's. "
        "Synchronise this machine's clock (NTP).",
        offset.total_seconds(),
    )
    stages.correct_clock(offset)
    return datetime.now(UTC) + offset
