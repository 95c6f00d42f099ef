"""The beginning of a connector's pull: registered, its account taken, its connection open, its clock corrected."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from flows.artifacts.publish import RunContext
from flows.runs import events
from flows.runs.running_slice import record_failure
from flows.runs.slice_tasks import Pull
from tasks.errors import AlertsError, OperatorError, ServiceError, SettingsError
from tasks.ingest import pull_session, registry
from tasks.ingest.connector_source import source_of
from tasks.ingest.pull_session import Beginning
from tasks.ingest.run_stats import RunStats
from tasks.ingest.stages import Stages
from tasks.products import product_named
from tasks.saved_connectors import load_connector
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Interval, Slice, watermark

log = logging.getLogger("attachment_alerts.pull")

CLOCK_TOLERANCE = timedelta(seconds=5)


class PullSession(NamedTuple):
    """A run that has registered itself and may ask its account."""

    pull: Pull
    now: datetime
    """by the service's clock where ours is off"""


@contextmanager
def open_pull_session(told: RunContext, patience: float | None, asked: Interval) -> Iterator[PullSession]:
    """Register the connector, wait for its account, open the connection, correct the clock."""
    connector = load_connector(told.connector)
    make_stages = product_named(connector.product).stages
    if make_stages is None:
        raise SettingsError(f"{told.connector!r} brings no scans: it is pulled by the flow of its own product.")
    store = open_store(load_settings())
    source = source_of(told.connector, connector)
    told.store, told.source = store, source
    stop = threading.Event()
    trigger: Literal["poll", "backfill"] = "poll" if patience is not None else "backfill"
    account = store.account(source.connector_id, stop)
    account.acquire(patience)
    with ExitStack() as stack:
        stack.callback(account.release)
        publisher = told.publisher = Publisher(store, trigger)
        try:
            stages = stack.enter_context(make_stages(connector, source, store.settings, stop))
            now = corrected_now(stages)
            beginning = pull_session.begin(store, source, now)
        except (OperatorError, ServiceError) as error:
            _note_refusal(store, source, trigger, asked, error, publisher)
            raise
        yield PullSession(Pull(stages, source, store, beginning, publisher, account, stop), now)


def _note_refusal(
    store: Store,
    source: Source,
    trigger: Literal["poll", "backfill"],
    asked: Interval,
    error: AlertsError,
    publisher: Publisher,
) -> None:
    """Nothing was asked for yet: the attempt is on record with the stretch it would have begun with."""
    source, beginning = begin_for_existing_tenant(store, source, datetime.now(UTC))
    begin = watermark(beginning.progress.origin, beginning.progress.coverage) if trigger == "poll" else asked.start
    record_failure(store, source, Slice(begin, max(begin, asked.end), trigger), error)
    publisher.at_end(turned=not beginning.failing)
    events.send_run_events(store, source, trigger, RunStats(failed=1))


def begin_for_existing_tenant(store: Store, source: Source, now: datetime) -> tuple[Source, Beginning]:
    """Begin a refused pull: that of a connector whose tenant was changed is on record where its rows are."""
    source = registry.source_for_existing_tenant(store, source)
    return source, pull_session.begin(store, source, now)


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
