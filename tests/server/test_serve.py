"""`attachment-alerts serve`: it runs a complete site, stops in order, and recovers from a kill."""

import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.deploy import prefect_yaml, triggers
from flows.server import login as server_login
from flows.server.addresses import free_port
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import save_connector
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.server import running
from tests.simulator import V2_KEYS, Running, Simulator, World, serve

pytestmark = pytest.mark.server

NOW = datetime.now(UTC).replace(microsecond=0)
PASSWORD = "somebody:lets-me-in"


@pytest.fixture
def service() -> Iterator[Running]:
    """A service so slow that a backfill of a month outlasts the test."""
    with serve(Simulator(World(seed=7, per_day=600, start=NOW - timedelta(days=30)))) as started:
        started.simulator.faults.inject("slow", times=None, seconds=1.0)
        yield started


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    port = free_port()
    return running.own_environment(tmp_path) | dict.fromkeys(running.CSRF, "true") | {
        "PREFECT_SERVER_API_PORT": str(port), "PREFECT_UI_ENABLED": "true", "PYTHONUNBUFFERED": "1",
        "ATTACHMENT_ALERTS_FETCH_CONCURRENCY": "1",
        "PREFECT_SERVER_API_HOST": "0.0.0.0", "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,  # noqa: S104
    }  # fmt: skip


def said(process: running.Process, environment: dict[str, str], words: str) -> str:
    """Wait for the line of `serve` with these words."""
    log = Path(environment["ATTACHMENT_ALERTS_HOME"]) / "serve.log"
    return running.wait_for(
        lambda: next((line for line in log.read_text(encoding="utf-8").splitlines() if words in line), None), process
    )


def save(service: Running) -> None:
    fields = {"base_url": service.url, "allow_other_host": True, "first_look_back_days": 1, "polling_minutes": 60}
    fields |= {"connector_id": running.due_in(3000, minutes=60), "tested_at": NOW}  # after the end of this test
    save_connector("acme", MimecastConnector.model_validate(V2_KEYS | fields))


def poll(client: SyncPrefectClient) -> FlowRun:
    return client.create_flow_run_from_deployment(client.read_deployment_by_name("mimecast/acme").id)


def backfill(client: SyncPrefectClient) -> FlowRun:
    """Start a backfill of a month as the UI does."""
    given = {"connector": "acme", "start": f"{NOW - timedelta(days=29):%FT%TZ}", "end": f"{NOW:%FT%TZ}"}
    deployment = client.read_deployment_by_name("mimecast-backfill/backfill")
    return client.create_flow_run_from_deployment(deployment.id, parameters=given | {"what": "everything"})


def ended(client: SyncPrefectClient, run: FlowRun, process: running.Process) -> str:
    """Name of the run's final state."""

    def final() -> str | None:
        state = client.read_flow_run(run.id).state
        return state.name if state and state.is_final() else None

    return running.wait_for(final, process)


def server_of(process: running.Process) -> psutil.Process:
    """The Prefect server that `serve` has started: the innermost of its processes."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [each for each in children if {"server", "start"} <= set(each.cmdline())][-1]


def slices(store: Store) -> int:
    with store.transaction() as transaction:  # it also has unpublished rows
        sql = "SELECT count(*) FROM windows WHERE trigger = 'backfill' AND state = 'complete'"
        return int(transaction.rows(sql)[0][0])


def answer(url: str, **given: Any) -> int:
    """HTTP status of a request for stored data."""
    return httpx.get(f"{url}/work_pools/attachment-alerts", trust_env=False, **given).status_code


def gone(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) != 0


def test_serve_stops_in_order_and_recovers_after_a_kill(
    service: Running, environment: dict[str, str], tmp_path: Path
) -> None:
    port, store = int(environment["PREFECT_SERVER_API_PORT"]), open_store(Settings(home=tmp_path))
    url, call = f"http://127.0.0.1:{port}/api", ["-m", "flows", "serve"]
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: PASSWORD}),
        get_client(sync_client=True) as client,
    ):
        with running.started("serve", call, environment) as process:
            assert f"The UI is at http://127.0.0.1:{port} " in said(process, environment, "Serving.")
            # The pages call the server they came from, whatever its name and port.
            assert httpx.get(f"http://127.0.0.1:{port}/ui-settings", trust_env=False).json()["api_url"] == "/api"
            assert answer(url) == answer(url, auth=("somebody", "guesses")) == 401
            assert answer(url, auth=tuple(PASSWORD.split(":"))) == 200
            assert not server_login.login_file(tmp_path).exists()  # the site's own login is used
            off = triggers.Switch(on=False, waits=True)  # no notifications are configured
            assert set(triggers.read_switches(client, prefect_yaml.declared_deployments()).values()) == {off}
            save(service)
            cut = backfill(client)
            assert "polled every 60 min" in said(process, environment, "mimecast/acme created")
            running.wait_for(lambda: slices(store) >= 1, process)
            assert ended(client, poll(client), process) == "Completed"  # the backfill has yielded
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=90) == 0  # TimeoutStopSec of data/attachment-alerts.service
        assert gone(port)
        kept = slices(store)
        assert 0 < kept < 29
        with running.started("serve", call, environment) as process:
            said(process, environment, "Serving.")
            assert client.read_flow_run(cut.id).state_name == "Cancelled"
            assert [each.active for each in client.read_deployment_by_name("mimecast/acme").schedules] == [True]
            assert [limit.active_slots for limit in client.read_global_concurrency_limits() if limit.active_slots] == []
            backfill(client)
            running.wait_for(lambda: slices(store) > kept, process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            running.wait_for(lambda: gone(port))
        somebody = {"ATTACHMENT_ALERTS_NOTIFY": "slack-webhook/security"}
        with running.started("serve", call, environment | somebody) as process:
            said(process, environment, "Serving.")
            assert set(triggers.read_switches(client, prefect_yaml.declared_deployments()).values()) == {
                triggers.Switch()
            }
            assert ended(client, poll(client), process) == "Completed"
            server_of(process).kill()
            assert process.wait(timeout=90) == 1  # systemd or compose restarts it
            assert "Traceback" not in (tmp_path / "serve.log").read_text(encoding="utf-8")
        assert gone(port)
        assert {"worker.log", "worker.log.1", "worker.log.2"} <= {each.name for each in (tmp_path / "serve").iterdir()}
