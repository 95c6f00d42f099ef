"""With a proxy in the environment, no loopback request reaches it: commands, server, worker, runs."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.server.addresses import free_port
from tasks.settings import CHECKOUT
from tests.proxy import LoggingProxy, logging_proxy
from tests.server import running
from tests.simulator import V2_KEYS, Running, Simulator, World, serve

pytestmark = pytest.mark.server

NOW = datetime.now(UTC)
PASSWORD = "somebody:lets-me-in"


@pytest.fixture
def proxy() -> Iterator[LoggingProxy]:
    with logging_proxy() as started:
        yield started


@pytest.fixture
def service() -> Iterator[Running]:
    with serve(Simulator(World(per_day=24, start=NOW - timedelta(days=3)))) as started:
        yield started


@pytest.fixture
def environment(home: Path, proxy: LoggingProxy) -> dict[str, str]:
    own = running.own_environment(home) | {"ATTACHMENT_ALERTS_CLIENT_SECRET": V2_KEYS["client_secret"]}
    exceptions = ("no_proxy", "NO_PROXY")
    return {name: value for name, value in own.items() if name not in exceptions} | proxy.environment


def command(environment: dict[str, str], *arguments: str) -> None:
    call = [sys.executable, "-m", "flows", *arguments]
    done = subprocess.run(call, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def add(environment: dict[str, str], service: Running) -> None:
    address = ["--base-url", service.url, "--allow-other-host", "--client-id", V2_KEYS["client_id"]]
    command(environment, "connectors", "add", "acme", *address, "--first-look-back-days", "1")


def test_commands_with_a_proxy_send_no_loopback_request_to_it(
    environment: dict[str, str], service: Running, proxy: LoggingProxy
) -> None:
    add(environment, service)
    command(environment, "poll", "acme")
    assert proxy.seen == []


def test_serve_with_a_proxy_sends_no_loopback_request_to_it(
    environment: dict[str, str], service: Running, proxy: LoggingProxy, home: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.2:{port}/api"
    at_work = environment | {
        "PREFECT_SERVER_API_HOST": "127.0.0.2", "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    log = home / "serve.log"
    with running.started("serve", ["-m", "flows", "serve"], at_work) as process:
        running.wait_for(lambda: "Serving." in log.read_text(encoding="utf-8"), process)
        add(environment | {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": PASSWORD}, service)
        with (
            temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: PASSWORD}),
            get_client(sync_client=True) as client,
        ):
            named = lambda: [each for each in client.read_deployments() if each.name == "acme"]  # noqa: E731
            (deployment,) = running.wait_for(named, process)  # created by the command, or a little later by `serve`
            started = client.create_flow_run_from_deployment(deployment.id)
            ended = running.wait_for(
                lambda: run if (run := client.read_flow_run(started.id)).state.is_final() else None,  # type: ignore[union-attr]
                process,
            )
            assert ended.state_name == "Completed"
            logs = running.wait_for(client.read_logs, process)
            assert {each.flow_run_id for each in logs} >= {started.id}
    assert proxy.seen == []
    wide = [each for each in (home / "serve").iterdir() if each.stat().st_mode & 0o077]
    assert wide == []
