"""Poll and backfill as Prefect flow runs: a task for each slice, the final state, the run's name, events and artifacts.

The flow modules of all products call these two.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from flows.artifacts.publish import ProgressBar, run_context
from flows.artifacts.run_context import RunContext
from flows.artifacts.run_summary import Outcome
from flows.runs import current_run, events, pull
from flows.runs.engine import Engine, SliceFuture, SliceResult
from flows.runs.final_states import completed, failed_slices, interrupted
from tasks.connectors.base import Connector
from tasks.errors import AlertsError, StoreError
from tasks.formatting import format_period, system_error
from tasks.ingest.run_stats import RunStats
from tasks.saved_connectors import load_connector
from tasks.store.store import AccountBusy
from tasks.window import Interval, Slice, Trigger, What

Work = Callable[[RunContext, Connector, Engine], RunStats]


def poll(name: str) -> State[Any]:
    """Run `pull.poll` for a saved connector; the final state of the flow run."""
    return _run(name, "poll", pull.poll)


def backfill(name: str, start: datetime, end: datetime, what: What) -> State[Any]:
    """Run `pull.backfill` for a saved connector; the final state of the flow run."""

    def work(context: RunContext, connector: Connector, engine: Engine) -> RunStats:
        return pull.backfill(context, connector, engine, start, end, what)

    return _run(name, "backfill", work)


@task(name="slice", task_run_name="{slice_.trigger} {slice_.start:%Y-%m-%d %H:%M}", cache_policy=NO_CACHE)
def run_slice(slice_: Slice, work: Callable[[], SliceResult]) -> SliceResult:
    """Extract, validate, transform and load one slice."""
    return work()


def _submit(slice_: Slice, work: Callable[[], SliceResult]) -> SliceFuture:
    return run_slice.submit(slice_, work)


def _run(name: str, trigger: Trigger, work: Work) -> State[Any]:
    if current_run.was_cancelled_before_start():
        return Cancelled(message="Cancelled before it began.")
    with run_context(name, trigger) as context:
        engine = Engine(
            _submit,
            flow_run.get_id(),
            is_scheduled=current_run.is_scheduled(),
            on_window=lambda window: _name_run(context, window),
            on_progress=ProgressBar(f"{name} {trigger}"),
            on_end=events.send_run_events,
        )
        try:
            state = _state_of(context, lambda: work(context, load_connector(name), engine))
        except KeyboardInterrupt:
            return interrupted()
        word = "skipped" if context.stats.skipped else state.type.value.lower()
        context.outcome = Outcome(word, state.message or "")
    return state


def _state_of(context: RunContext, work: Callable[[], RunStats]) -> State[Any]:
    """Do the work and return the final state; the message of a failed one is that of the error."""
    try:
        stats = work()
    except AccountBusy as busy:
        context.stats.skipped = str(busy)
        return Completed(name="Skipped", message=str(busy), data=context.stats.as_counts())
    except (AlertsError, OSError) as error:
        return _failed_by(error, context)
    return failed_slices(stats) if stats.failed else completed(stats)


def _failed_by(error: AlertsError | OSError, context: RunContext) -> State[Any]:
    context.stats.failed += 1
    context.stats.errors.append(system_error(error) if isinstance(error, OSError) else str(error))
    if isinstance(error, OSError | StoreError):
        context.store = None  # the artifacts would wait for it again
    return failed_slices(context.stats)


def _name_run(context: RunContext, window: Sequence[Interval]) -> None:
    """Add the window of a poll to the run's name; it is known only after the store was read."""
    run_id = flow_run.get_id()
    if run_id and window and context.trigger == "poll":
        text = f"{context.connector} poll {format_period(window[0].start, window[-1].end)}"
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(run_id), name=text)
