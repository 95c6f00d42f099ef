"""Start a Prefect server as a child process: for `serve`, for the demo, and for a command that finds none."""

import re
import socket
import time
from pathlib import Path
from typing import NamedTuple

from flows.server import login as server_login
from flows.server.addresses import ORIGINS, address, free_port, own_origins
from flows.server.child_process import ChildProcess
from tasks.errors import AlertsError, OperatorError, StoreTooNew, Unreachable
from tasks.sanitize import plain

START_TIMEOUT = 180.0  # seconds; a first start on a small machine creates the database
STOP_TIMEOUT = 5.0
LATER_DATABASE = "Can't locate revision identified by"  # of Alembic, when it finds a migration that it does not have
EXCEPTION = re.compile(r"^(?:\w+\.)*\w+(?:Error|Exception): .+", re.MULTILINE)
# Nobody opens the UI of a server that ends with its command, and it must not schedule runs without a worker.
TEMPORARY = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # the forms of all integrations take seconds
}


class PrefectServer(NamedTuple):
    """A server that may still be starting."""

    url: str
    login: str
    process: ChildProcess

    def wait_until_ready(self) -> None:
        """Raises Unreachable, naming the log, if it does not answer."""
        wait_until_ready(self.url, self.process)

    def stop(self) -> None:
        self.process.stop(STOP_TIMEOUT)


def start(host: str, port: int, login: str, log_folder: Path, **settings: str) -> PrefectServer:
    """Start a server that requires this login. Raises OperatorError if the port is not free."""
    _check_port(host, port)
    arguments = ["-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    environment = {"PREFECT_LOGGING_LEVEL": "WARNING", ORIGINS: own_origins(host, port), **settings}
    environment[server_login.SERVER] = login
    return PrefectServer(address(host, port), login, ChildProcess("Prefect server", arguments, log_folder, environment))


def start_temporary(log_folder: Path) -> PrefectServer:
    """Start a server for this process only: on a free loopback port, with a login that is not stored."""
    return start("127.0.0.1", free_port(), server_login.generate_login(), log_folder, **TEMPORARY)


def wait_until_ready(url: str, process: ChildProcess | None = None) -> None:
    """Wait for the server at this address. Raises Unreachable if it does not answer in time, or its process ended."""
    import httpx  # noqa: PLC0415 - takes half a second to load, during which the server already starts

    deadline = time.monotonic() + START_TIMEOUT
    with httpx.Client(timeout=5.0, trust_env=process is None) as client:
        while True:
            try:
                if client.get(f"{url.rstrip('/')}/health").is_success:
                    return
            except httpx.TransportError:
                pass
            if process and process.exit_status is not None:
                raise _start_failure(process.log)
            if time.monotonic() > deadline:
                raise Unreachable(f"The Prefect server at {url} does not answer. Start it, or correct PREFECT_API_URL.")
            time.sleep(0.25)


def _start_failure(log: Path) -> AlertsError:
    """Why a server ended instead of starting: the last exception in its log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if LATER_DATABASE in text:
        return StoreTooNew(
            "The Prefect database was migrated by a later version of Prefect, so this one cannot use it. Install "
            "the later version of attachment-alerts again, or restore the database from the backup before the update."
        )
    reasons = EXCEPTION.findall(text)
    if reasons:
        return Unreachable(f"The Prefect server did not start: {plain(reasons[-1]).rstrip('.')}. See {log}.")
    if not text:
        return Unreachable(f"The Prefect server did not start, and {log} is empty. Check the disk's free space.")
    return Unreachable(f"The Prefect server did not start. See {log}.")


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise OperatorError(
                f"Cannot listen on {host} port {port} ({error.strerror}). Choose another port with --port."
            ) from None
