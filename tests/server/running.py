"""Prefect processes for tests: with the project's settings and their own environment; they end with their block."""

import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from unittest import mock
from uuid import UUID

import httpx

from flows.deploy.schedules import EPOCH
from flows.server import prefect_settings
from flows.server.addresses import free_port
from tasks.settings import CHECKOUT

Found = TypeVar("Found")
Process = subprocess.Popen[bytes]

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without certificate authorities, which take 20 ms to read
CSRF = ("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED")
PATIENCE = 240.0  # seconds, on a busy machine


@contextmanager
def api(environment: dict[str, str]) -> Iterator[str]:
    """A Prefect API on a free port as a flow test needs it, by its address: no pages, schedules or automations.

    It accepts the events of task runs without storing them, which would be more than half of its work.
    """
    port = free_port()
    call = ["-m", "prefect", "server", "start", "--port", str(port)]
    services = {"SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS"}
    services |= {"TASK_RUN_RECORDER", "EVENT_PERSISTER", "REPOSSESSOR", "CLEANUP_RECONCILER", "DB_VACUUM"}
    off = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in services}
    off["PREFECT_SERVER_REGISTER_BLOCKS_ON_START"] = "false"  # the forms of all integrations take seconds
    with started("api", call, environment | off) as process:
        url = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: answers(url), process)
        yield url


def due_in(seconds: int, *, minutes: int) -> UUID:
    """A connector ID whose schedule is due then: the start of a schedule follows from the connector's ID."""
    return UUID(int=int((datetime.now(UTC) - EPOCH).total_seconds() + seconds) % (60 * minutes))


def own_environment(folder: Path) -> dict[str, str]:
    """The project's settings of Prefect, without those of the test session."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with mock.patch.dict(os.environ, inherited, clear=True):
        prefect_settings.apply()
        quicker = {"PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_UI_ENABLED": "false"}
        # A busy machine may need more than a minute to start a run, which would otherwise lose its slot.
        quicker["PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"] = "240"
        # Saves each client a request for a token; tests of a complete site switch it on.
        quicker |= dict.fromkeys(CSRF, "false")
        return os.environ | quicker | {
            "PREFECT_HOME": str(folder / "prefect"), "ATTACHMENT_ALERTS_HOME": str(folder),
        }  # fmt: skip


def keep_tables(folder: Path, tables: Path) -> None:
    """Copy Prefect's database in `folder`, with its write-ahead log, atomically."""
    live = folder / "prefect" / "prefect.db"
    fresh = live.with_suffix(".fresh")
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(fresh)) as copy:
        source.backup(copy)
    fresh.replace(tables)


@contextmanager
def started(name: str, arguments: list[str], environment: dict[str, str]) -> Iterator[Process]:
    """A Python process in its own process group, which ends with the block."""
    log = Path(environment["ATTACHMENT_ALERTS_HOME"]) / f"{name}.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,  # where the runner finds the code of the flows
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
    """Poll until `find` returns something; fails if one of the processes ends."""
    until = time.monotonic() + PATIENCE
    while not (found := find()):
        assert [process.poll() for process in processes] == [None] * len(processes)
        assert time.monotonic() < until
        time.sleep(0.5)  # each poll costs the server as much as a request of a run
    return found


def answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health", timeout=5.0, trust_env=False, verify=PLAIN).is_success
    return False
