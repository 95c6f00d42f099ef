"""What `serve` does: start a server if none answers, start workers, and apply the connectors every half minute.

It restarts nothing: if the server or a worker ends, `serve` ends with an error, and systemd or compose restarts it.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings

from flows.console.invocation import shell_command
from flows.console.terminal import print_message, show_progress
from flows.deploy import prefect_yaml
from flows.deploy.apply import ApplyResult, apply_connectors
from flows.server import login, prefect_server, prefect_session
from flows.server.child_process import ChildProcess
from flows.server.prefect_server import PrefectServer
from flows.server.run_cancellation import cancel, mark_cancelled, runs_of
from tasks.errors import AlertsError, OperatorError, Unreachable
from tasks.http.loopback import is_loopback
from tasks.settings import load_settings

CHECK_INTERVAL, APPLY_INTERVAL = 1.0, 30.0  # seconds
STOP_TIMEOUT = 20.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequested(BaseException):
    """Ctrl-C or SIGTERM; not an error."""


def run(home: Path, host: str, port: int) -> None:
    """Serve until stopped. Raises AlertsError if it cannot start, or if the server or the worker ends."""
    log_folder = home / "serve"
    log_folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    report = Report()
    try:
        with _stop_on_signals(), _lock(home), ExitStack() as stack:
            server = _server(stack, home, host, port)
            with show_progress("Deploying prefect.yaml"):
                # With another server, its operator decides whether notifications are sent.
                prefect_yaml.deploy(notify=bool(load_settings().notify) if server else None)
                result = apply_connectors()
            for pool in prefect_yaml.unrestricted_pools():
                print_message(
                    f"Whoever may start a run in the work pool {pool} chooses its command or its environment, because "
                    "this site's own job template offers that. flows/server/README.md explains how to close it.",
                    style="yellow",
                )
            for poll in result.polls:
                print_message(poll.summary())
            report.unusable_connectors(result.unusable)
            workers = [_worker(stack, pool, log_folder) for pool in prefect_yaml.process_pools()]
            _announce(own_server=server is not None)
            _supervise([*([server.process] if server else []), *workers], report)
    except StopRequested:
        print_message("Stopped. Schedules are kept.")


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the block; further ones are ignored during the cleanup."""

    def stop(number: int, frame: FrameType | None) -> None:
        for stop_signal in STOP_SIGNALS:
            signal.signal(stop_signal, signal.SIG_IGN)
        raise StopRequested

    previous = {stop_signal: signal.signal(stop_signal, stop) for stop_signal in STOP_SIGNALS}
    try:
        yield
    finally:
        for stop_signal, handler in previous.items():
            signal.signal(stop_signal, handler)


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    lock = FileLock(home / "serve.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OperatorError(
            f"Another `serve` is already running for {home}. Stop it, or choose another --home."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _server(stack: ExitStack, home: Path, host: str, port: int) -> PrefectServer | None:
    """Start our own server unless one is in use; it is ready when this returns."""
    if prefect_session.has_permanent_server():
        prefect_session.warn_of_open_api()
        url = str(get_current_settings().api.url)
        with show_progress(f"Waiting for {url}"):
            prefect_server.wait_until_ready(url)
        return None
    server = prefect_server.start(host, port, _login(home, host), home / "serve")
    stack.callback(server.stop)
    prefect_session.use(server)
    with show_progress("Starting the Prefect server (up to a minute the first time)"):
        server.wait_until_ready()
    return server


def _login(home: Path, host: str) -> str:
    """The login that our server requires: the one the site has configured, or else the home's own."""
    if not is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        print_message(
            f"The server listens on {host}, and over plain HTTP others can read the login. "
            "Put a reverse proxy with TLS in front of it."
        )
    if configured := prefect_session.site_login():
        return configured
    line, created = login.get_or_create(home)
    if created:
        print_message("The server now requires a login. Your own workers, profiles and `prefect` commands need:")
        print_message(login.export_command(home))
    return line


def _worker(stack: ExitStack, pool: str, log_folder: Path) -> ChildProcess:
    name = f"serve-{socket.gethostname()}"
    # Each run is a process of 100 MB that imports for seconds: too many starve the server, which then answers 503.
    limit = str(max(4, os.cpu_count() or 1))
    arguments = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    arguments += ["--name", name, "--limit", limit]
    worker = ChildProcess("worker", arguments, log_folder, {"PREFECT_LOGGING_LEVEL": "INFO"})  # also that of its runs
    stack.callback(_stop_worker, worker)
    return worker


def _stop_worker(worker: ChildProcess) -> None:
    """Cancel running runs first, so that complete slices are stored and concurrency slots are released."""
    print_message("Stopping …")
    runs: list[FlowRun] = []
    try:
        runs = runs_of(worker.pid)
        cancel(runs, STOP_TIMEOUT)
        runs += runs_of(worker.pid)  # it accepted work until now
    except AlertsError as error:
        print_message(str(error))
    worker.stop(STOP_TIMEOUT)
    with suppress(AlertsError):  # reported above
        mark_cancelled(runs)


def _announce(*, own_server: bool) -> None:
    url = str(get_current_settings().api.url)
    print_message(f"Serving. The UI is at {url.removesuffix('/api')}  (Ctrl-C stops it)", style="green")
    if own_server and url != "http://127.0.0.1:4200/api":
        print_message(f"For other commands: export PREFECT_API_URL={url}")
    if own_server:
        print_message(f"It requires a login: see `{shell_command()} server-login`.")


def _supervise(children: list[ChildProcess], report: "Report") -> None:
    """Apply connectors at intervals until stopped. Raises Unreachable if a child ends."""
    next_apply = time.monotonic() + APPLY_INTERVAL
    while True:
        time.sleep(CHECK_INTERVAL)
        for child in children:
            if child.exit_status is not None:
                raise Unreachable(f"The {child.name} ended with status {child.exit_status}. See {child.log}.")
        if time.monotonic() >= next_apply:
            report.apply_connectors()
            next_apply = time.monotonic() + APPLY_INTERVAL


class Report:
    """Reports what applying the connectors changed; the same problem is reported once."""

    def __init__(self) -> None:
        self._last_error = ""
        self._unusable: dict[str, str] = {}

    def apply_connectors(self) -> None:
        """Apply the connectors, and report changes and new problems."""
        try:
            result: ApplyResult = apply_connectors()
        except AlertsError as error:
            if str(error) != self._last_error:
                self._last_error = str(error)
                print_message(self._last_error, style="yellow")
            return
        self._last_error = ""
        for poll in result.polls:
            if poll.done != "unchanged":
                print_message(poll.summary())
        self.unusable_connectors(result.unusable)

    def unusable_connectors(self, unusable: dict[str, str]) -> None:
        """Report connectors whose problem was not there at the last call."""
        for name, problem in unusable.items():
            if self._unusable.get(name) != problem:
                print_message(problem, style="yellow")
        self._unusable = unusable
