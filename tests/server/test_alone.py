"""Commands that start a temporary server, and `simulate`."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.settings import CHECKOUT
from tests.server import running
from tests.simulator import V2_KEYS, Simulator, World, serve

pytestmark = pytest.mark.server

NOW = datetime.now(UTC)
PER_DAY = 24


def test_add_poll_and_backfill_work_without_a_server(home: Path) -> None:
    environment = running.own_environment(home) | {"ATTACHMENT_ALERTS_CLIENT_SECRET": V2_KEYS["client_secret"]}

    def command(*arguments: str) -> dict[str, Any]:
        call = [sys.executable, "-m", "flows", *arguments, "--json"]
        done = subprocess.run(call, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    with serve(Simulator(World(per_day=PER_DAY, start=NOW - timedelta(days=20)))) as service:
        address = ["--base-url", service.url, "--allow-other-host", "--client-id", V2_KEYS["client_id"]]
        subprocess.run(
            [sys.executable, "-m", "flows", "connectors", "add", "acme", *address, "--first-look-back-days", "1"],
            cwd=CHECKOUT, env=environment, capture_output=True, check=True,
        )  # fmt: skip
        polled = command("poll", "acme")
        assert polled["new"] > 0
        start, end = (f"{NOW - timedelta(days=days):%Y-%m-%d}" for days in (5, 3))
        assert command("backfill", "acme", "--from", start, "--to", end)["new"] == 2 * PER_DAY
    assert (home / "alerts.duckdb").exists()


def test_simulate_serves_the_sample_account_until_it_is_interrupted() -> None:
    port = running.free_port()
    call = [sys.executable, "-m", "flows", "simulate", "--port", str(port)]
    process = subprocess.Popen(call, cwd=CHECKOUT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"

    def request_token() -> httpx.Response | None:
        try:
            return httpx.post(f"{url}/oauth/token", data=V2_KEYS | {"grant_type": "client_credentials"})
        except httpx.TransportError:
            return None

    assert running.wait_for(request_token).json()["access_token"]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1]
    assert process.returncode == 0
