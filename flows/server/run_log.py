"""Runs as `serve` tells of them: a line for each that has ended; and their cancel when it stops."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from flows.deploy import prefect_yaml
from tasks.connectors.prefect_client import prefect_client
from tasks.sanitize import plain

LATE = timedelta(minutes=1)  # a run that ended may become known a little later
PAGE = 200
WHY = "`attachment-alerts serve` was stopped."
UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


class RunLines:
    """Which runs have been told of."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._told: dict[UUID, datetime] = {}

    def new(self) -> list[str]:
        """A line for each run that has ended since the last call."""
        ended = FlowRunFilter(end_time=FlowRunFilterEndTime(after_=cast(Any, self._since)))
        with prefect_client() as client:
            runs = client.read_flow_runs(
                flow_run_filter=ended, work_pool_filter=_pools(), sort=FlowRunSort.END_TIME_DESC, limit=PAGE
            )
            fresh = [run for run in reversed(runs) if run.id not in self._told and run.end_time]
            lines = [_line(client, run) for run in fresh]
        self._told |= {run.id: run.end_time for run in fresh if run.end_time}
        if self._told:
            self._since = max(self._since, max(self._told.values()) - LATE)
            self._told = {run: at for run, at in self._told.items() if at >= self._since}
        return lines


def cancel(runs: list[FlowRun], patience: float) -> None:
    """Ask for their cancel, and wait until their worker has said that they are over."""
    until = time.monotonic() + patience
    with prefect_client() as client:
        for run in runs:
            client.set_flow_run_state(run.id, Cancelling(message=WHY))
        while time.monotonic() < until and not all(_is_over(client.read_flow_run(run.id)) for run in runs):
            time.sleep(0.5)


def settle(runs: list[FlowRun]) -> None:
    """Say it in the place of a worker that is gone, and their processes with it: else they would run for ever."""
    with prefect_client() as client:
        for run in runs:
            if not _is_over(client.read_flow_run(run.id)):
                client.set_flow_run_state(run.id, Cancelled(message=WHY), force=True)


def under_way(worker: int) -> list[FlowRun]:
    """The runs whose processes descend from this one."""
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY)))
    with prefect_client() as client:
        runs = client.read_flow_runs(flow_run_filter=states, work_pool_filter=_pools(), limit=PAGE)
    parents = _parents()
    return [run for run in runs if worker in _ancestors(run.infrastructure_pid, parents)]


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _ancestors(process: str | None, parents: dict[str, str]) -> Iterator[int]:
    """The processes that a run's process comes from, the nearest first; none where it does not live here."""
    pid = parents.get((process or "").rpartition(":")[2])
    while pid and pid != "0":
        yield int(pid)
        pid = parents.get(pid)


def _parents() -> dict[str, str]:
    """The parent of every process of this machine. Each run has a session of its own, which tells nothing."""
    program = shutil.which("ps")
    if program is None:
        return {}
    listed = subprocess.run([program, "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False)  # noqa: S603
    return dict(line.split() for line in listed.stdout.splitlines())


def _pools() -> WorkPoolFilter:
    return WorkPoolFilter(name=WorkPoolFilterName(any_=prefect_yaml.pool_names()))


def _line(client: SyncPrefectClient, run: FlowRun) -> str:
    at = f"{run.end_time:%H:%M:%S}" if run.end_time else ""
    message = run.state.message if run.state and run.state.message else ""
    return f"{at}  {plain(_name(client, run))}: {run.state_name}. {plain(message, 1000)}".rstrip()


def _name(client: SyncPrefectClient, run: FlowRun) -> str:
    """What it does, in its own words; a run that never began has no words yet, only a name that Prefect made up."""
    if run.run_count or run.deployment_id is None:
        return run.name
    try:
        return f"a run of {client.read_deployment(run.deployment_id).name}"
    except ObjectNotFound:  # removed with its connector
        return run.name
