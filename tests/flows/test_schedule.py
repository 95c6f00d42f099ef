"""A schedule really produces runs, and a backfill can be started as the UI does: with a server and a runner of its own.

Everything of Prefect runs in processes with an environment of their own; this one only asks the server's API.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from unittest import mock

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import prefect_settings
from flows.own_server import _free_port
from tasks.database import Store
from tasks.mimecast.simulator import V2_KEYS, Simulator, World, serve
from tasks.settings import CHECKOUT, Settings
from tests.flows.site import hours, scan

Found = TypeVar("Found")
Process = subprocess.Popen[bytes]

PATIENCE = 240.0  # seconds, on a machine that is busy with other things

RUNNER = """
import json, sys
from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from flows.mimecast import backfill, poll
from tasks.connectors import save_connector
from tasks.mimecast.connector import MimecastConnector

save_connector("acme", MimecastConnector(**json.loads(sys.argv[1])))
one = ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW")
serve(
    poll.to_deployment("poll", parameters={"connector": "acme"}, interval=10, concurrency_limit=one),
    backfill.to_deployment("backfill"),
)
"""


def test_a_schedule_produces_runs_and_the_ui_starts_a_backfill(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    long_ago = now - timedelta(days=9)
    store = Store(Settings(home=tmp_path))
    with serve(Simulator(World.of_records([*hours(now, 5), scan(long_ago, 99)]))) as running, ExitStack() as stack:
        environment, port = own_environment(tmp_path), _free_port()
        call = ["-m", "prefect", "server", "start", "--port", str(port)]
        server = stack.enter_context(started("server", call, environment))
        url = environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: answers(url), server)
        fields = {"base_url": running.url, "allow_other_host": True, "first_look_back_days": 1, **V2_KEYS}
        runner = stack.enter_context(started("runner", ["-c", RUNNER, json.dumps(fields)], environment))
        stack.enter_context(temporary_settings({PREFECT_API_URL: url}))
        client = stack.enter_context(get_client(sync_client=True))

        run = wait_for(lambda: next(filter(ended, of_the_schedule(client)), None), server, runner)
        assert run.auto_scheduled
        assert run.state_name == "Completed"
        with store.reader() as tables:
            assert tables.rows("SELECT count(*) FROM scans") == [(5,)]
            assert (str(run.id),) in tables.rows("SELECT flow_run_id FROM windows")

        given = {"connector": "acme", "what": "missing"}
        given |= {"start": f"{long_ago - timedelta(hours=1):%FT%TZ}", "end": f"{long_ago + timedelta(hours=1):%FT%TZ}"}
        client.pause_deployment(client.read_deployment_by_name("mimecast/poll").id)
        deployment = client.read_deployment_by_name("mimecast-backfill/backfill")
        begun = client.create_flow_run_from_deployment(deployment.id, parameters=given)
        run = wait_for(lambda: run if ended(run := client.read_flow_run(begun.id)) else None, server, runner)
        assert run.state_name == "Completed"
        with store.reader() as tables:
            assert tables.rows("SELECT detected_at FROM scans ORDER BY ALL LIMIT 1") == [(long_ago,)]
            assert tables.rows("SELECT count(*) FROM windows WHERE trigger = 'backfill'") == [(1,)]


def of_the_schedule(client: SyncPrefectClient) -> list[FlowRun]:
    """All runs of the poll's deployment: nobody but its schedule makes any."""
    return client.read_flow_runs(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["poll"])))


def ended(run: FlowRun) -> bool:
    # One that is due while another runs is cancelled and shows nothing.
    return run.state is not None and run.state.is_final() and not run.state.is_cancelled()


def own_environment(folder: Path) -> dict[str, str]:
    """The project's settings of Prefect and nothing of the session's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with mock.patch.dict(os.environ, inherited, clear=True):
        prefect_settings.apply()
        quicker = {"PREFECT_RUNNER_POLL_FREQUENCY": "2", "PREFECT_UI_ENABLED": "false"}
        return os.environ | quicker | {
            "PREFECT_HOME": str(folder / "prefect"), "ATTACHMENT_ALERTS_HOME": str(folder),
        }  # fmt: skip


@contextmanager
def started(name: str, arguments: list[str], environment: dict[str, str]) -> Iterator[Process]:
    """A process of Python in a group of its own, which is gone in the end."""
    log = Path(environment["ATTACHMENT_ALERTS_HOME"]) / f"{name}.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,  # where the runner finds the flows' code again
            env=environment,
            stdout=lines,
            stderr=lines,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(find: Callable[[], Found | None], *processes: Process) -> Found:
    """What is found in the end; fails where a process has ended before."""
    until = time.monotonic() + PATIENCE
    while not (found := find()):
        assert [process.poll() for process in processes] == [None] * len(processes)
        assert time.monotonic() < until
        time.sleep(0.25)
    return found


def answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health", timeout=5.0, trust_env=False).is_success
    return False
