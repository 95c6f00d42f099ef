"""The machine of a site: Prefect server, worker and home. A test can cut its power."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterName,
    FlowRunFilter,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.server.addresses import free_port
from tasks.notifications.events import PREFIX
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store
from tests.server import running
from tests.server.running import Found

AS_SERVED = dict.fromkeys(running.CSRF, "true")
AT_ONCE = {"PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}  # the forms of all integrations take seconds


class Machine:
    """Its processes end with the block, or at once by `lose_power`."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        self.store = open_store(Settings(home=home))
        self.port, self._boots = free_port(), 0
        self.environment = running.own_environment(home) | AS_SERVED | AT_ONCE | settings
        self.environment["PREFECT_API_URL"] = self.url = f"http://127.0.0.1:{self.port}/api"
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        self._processes = ExitStack()
        self._stack = ExitStack()
        self.server: running.Process
        self.worker: running.Process
        self.client: SyncPrefectClient

    def __enter__(self) -> Self:
        self._stack.callback(_print_logs, self.store.settings.home)
        self._stack.enter_context(temporary_settings({PREFECT_API_URL: self.url}))
        self.client = self._stack.enter_context(get_client(sync_client=True))
        return self

    def __exit__(self, *failure: object) -> None:
        EventsWorker.drain_all(timeout=10)  # this process would otherwise look for the stopped server
        with self._stack, self._processes:
            pass

    def boot(self) -> None:
        """Start the server and, once it answers, a worker."""
        self._boots += 1
        call = ["-m", "prefect", "server", "start", "--port", str(self.port)]
        self.server = self._start(f"server-{self._boots}", call)
        running.wait_for(lambda: running.answers(self.url), self.server)
        self.worker = self._start(
            f"worker-{self._boots}", ["-m", "prefect", "worker", "start", "-p", "attachment-alerts"]
        )

    def unfinished_runs(self) -> list[FlowRun]:
        """Pending and running runs."""
        at_work = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING"]}}})
        return self.client.read_flow_runs(flow_run_filter=at_work)

    def lose_power(self, *runs: UUID) -> None:
        """Kill server, worker and these runs without any cleanup."""
        processes = [self.process_of(run) for run in runs]
        for process in (self.server, self.worker):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for number in processes:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._processes.close()

    def expire_leases(self) -> None:
        """Expire the leases of concurrency slots in Prefect's files, as if nothing had renewed them."""
        over = datetime.now(UTC).isoformat()
        leases = self.store.settings.home / "prefect" / "concurrency_leases"
        index = leases / "expirations.json"
        ids = json.loads(index.read_text(encoding="utf-8"))
        assert ids
        for file in (leases / f"{lease}.json" for lease in ids):
            lease = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps(lease | {"expiration": over}), encoding="utf-8")
        index.write_text(json.dumps(dict.fromkeys(ids, over)), encoding="utf-8")

    def _start(self, name: str, call: list[str]) -> running.Process:
        return self._processes.enter_context(running.started(name, call, self.environment))

    def wait_for(self, find: Callable[[], Found | None]) -> Found:
        return running.wait_for(find, self.server, self.worker)

    def command(self, *arguments: str) -> Any:
        """The JSON output of a command."""
        call = [sys.executable, "-m", "flows", *arguments, "--json"]
        done = subprocess.run(call, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stored(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the store itself, which also has unpublished rows."""
        with self.store.transaction() as transaction:
            return transaction.rows(sql)

    def deployment(self, name: str) -> DeploymentResponse:
        return self.client.read_deployment_by_name(name)

    def start(self, deployment: str, **parameters: Any) -> UUID:
        """Start a run as the UI does."""
        found = self.deployment(deployment)
        return self.client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def process_of(self, run_id: UUID) -> int:
        """The process ID of a run."""
        run = self.client.read_flow_run(run_id)
        assert run.infrastructure_pid
        return int(run.infrastructure_pid.rpartition(":")[2])

    def wait_for_end(self, run_id: UUID) -> FlowRun:
        """Wait for the run's final state, whatever it is."""

        def over() -> FlowRun | None:
            run = self.client.read_flow_run(run_id)
            return run if run.state and run.state.is_final() else None

        return self.wait_for(over)

    def runs(self, deployment: str) -> list[FlowRun]:
        """Started runs of a deployment, the latest first."""
        of_it = DeploymentFilter(name=DeploymentFilterName(any_=[deployment.rpartition("/")[2]]))
        begun = FlowRunFilter.model_validate({"start_time": {"is_null_": False}})
        return self.client.read_flow_runs(
            deployment_filter=of_it, flow_run_filter=begun, sort=FlowRunSort.START_TIME_DESC, limit=20
        )

    def switch(self, deployment: str, *, on: bool) -> None:
        """Switch the schedule as a person does in the UI."""
        found = self.deployment(deployment)
        self.client.update_deployment_schedule(found.id, found.schedules[0].id, active=on)

    def set_interval(self, deployment: str, every: timedelta) -> None:
        """Set a schedule of seconds, which no connector offers; repeated while the server creates runs of the old."""
        found = self.deployment(deployment)
        schedule = IntervalSchedule(interval=every)
        for _ in range(20):
            self.client.update_deployment_schedule(found.id, found.schedules[0].id, schedule=schedule)
            # The server creates runs within seconds of a change to the deployment, not to its schedule.
            self.client.update_deployment(found.id, DeploymentUpdate(tags=found.tags))
            for _ in range(20):
                if every in self._between_runs(found.id):
                    return
                time.sleep(0.5)
        raise AssertionError(f"{deployment} got no runs of its new schedule")

    def _between_runs(self, deployment: UUID) -> set[timedelta]:
        """The intervals between scheduled runs."""
        of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        to_come = FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}})
        runs = self.client.read_flow_runs(deployment_filter=of_it, flow_run_filter=to_come, limit=200)
        times = sorted(run.expected_start_time for run in runs if run.expected_start_time)
        # Their difference has another type than timedelta.
        return {timedelta(seconds=(later - earlier).total_seconds()) for earlier, later in pairwise(times)}

    def automation(self, name: str) -> Automation:
        (found,) = self.client.read_automations_by_name(name)
        return found

    def shorten(self, name: str, seconds: int) -> None:
        """Shorten the time-out of an automation."""
        changed = self.automation(name)
        assert isinstance(changed.trigger, EventTrigger)
        changed.trigger.within = timedelta(seconds=seconds)
        self.client.update_automation(
            changed.id, AutomationCore(**changed.model_dump(exclude={"id", "owner_resource"}))
        )

    def resources_of_events(self, event: str) -> set[str]:
        """The names of the resources of such events."""
        about = EventFilter(event=EventNameFilter(name=[f"{PREFIX}{event}"]))
        return {each.resource.name or "" for each in self.client.read_events(about, limit=50).events}

    def used_slots(self) -> dict[str, int]:
        """Concurrency limits with a slot in use."""
        limits = self.client.read_global_concurrency_limits(limit=100)
        return {limit.name: limit.active_slots for limit in limits if limit.active_slots}


def _print_logs(home: Path) -> None:
    """Print the end of each log: pytest shows it if a test fails."""
    for log in sorted(home.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"--- {log.name}", *lines[-60:], sep="\n")  # noqa: T201
