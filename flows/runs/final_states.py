"""The states in which runs end: what a person reads, and as the result what was done, of a failed run as well."""

import logging
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from tasks.errors import AlertsError
from tasks.formatting import format_count
from tasks.ingest.run_stats import SENTENCES, RunStats

# Prefect shows the lines of extra loggers from their own level on, and without one only warnings.
logging.getLogger("attachment_alerts").setLevel(logging.INFO)


class RunFailed(AlertsError):
    """What a failed run raises for whoever asks for its result; `counts` is what it did all the same."""

    def __init__(self, says: str, counts: dict[str, Any]) -> None:
        super().__init__(says)
        self.counts = counts


def completed(stats: RunStats) -> State[Any]:
    """The counts are the result, of a failed run as well."""
    alerts = format_count(stats.alerts, "alert")
    says = f"{stats.received:,} received, {stats.new:,} new, {alerts}, {stats.rejected:,} rejected."
    if stats.directory_days:
        says += f" The directory is {stats.directory_days} days old: import it again."
    return Completed(message=says, data=stats.as_counts())


def failed_slices(stats: RunStats) -> State[Any]:
    """In the errors' own sentences."""
    says = " ".join(stats.errors[:SENTENCES])
    if len(stats.errors) > SENTENCES:
        says += f" There were {len(stats.errors) - SENTENCES} more errors: see the relation windows."
    if stats.slices:
        says += f" {stats.slices} other slices are loaded."
    return failed(says, stats.as_counts())


def failed(says: str, counts: dict[str, Any]) -> State[Any]:
    """Prefect wants an exception as the result of what failed."""
    return Failed(message=says, data=RunFailed(says, counts))


def was_cancelled_before_start() -> bool:
    """Whether the state before the present one was the end that a person wished for.

    Between the moment when a worker takes a run and the start of its process, Prefect 3.8 knows no process to end. It
    calls the run cancelled, gives its slot to another one, and then starts it all the same.
    """
    run_id = flow_run.get_id()
    if run_id is None:
        return False
    with get_client(sync_client=True) as client:
        states = sorted(client.read_flow_run_states(UUID(run_id)), key=lambda state: state.timestamp)
    return len(states) > 1 and (states[-2].is_cancelled() or states[-2].is_cancelling())
