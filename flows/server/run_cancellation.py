"""Cancel the runs of this machine's worker when `serve` stops."""

import time

import psutil
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling

from flows.deploy import prefect_yaml
from tasks.connectors.prefect_client import prefect_client

PAGE = 200
REASON = "`attachment-alerts serve` was stopped."
UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def runs_of(worker: int) -> list[FlowRun]:
    """The unfinished runs whose processes descend from this process."""
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=prefect_yaml.pool_names()))
    with prefect_client() as client:
        runs = client.read_flow_runs(flow_run_filter=states, work_pool_filter=pools, limit=PAGE)
    processes = descendants(worker)
    return [run for run in runs if (run.infrastructure_pid or "").rpartition(":")[2] in processes]


def cancel(runs: list[FlowRun], timeout: float) -> None:
    """Request their cancellation, and wait until the worker has reported that they ended."""
    deadline = time.monotonic() + timeout
    with prefect_client() as client:
        for run in runs:
            client.set_flow_run_state(run.id, Cancelling(message=REASON))
        while time.monotonic() < deadline and not all(_has_ended(client.read_flow_run(run.id)) for run in runs):
            time.sleep(0.5)


def mark_cancelled(runs: list[FlowRun]) -> None:
    """Set the final state of runs that were killed with their worker and would be shown as running."""
    with prefect_client() as client:
        for run in runs:
            if not _has_ended(client.read_flow_run(run.id)):
                client.set_flow_run_state(run.id, Cancelled(message=REASON), force=True)


def descendants(pid: int) -> set[str]:
    """The IDs of all processes below this one."""
    try:
        return {str(child.pid) for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()


def _has_ended(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
