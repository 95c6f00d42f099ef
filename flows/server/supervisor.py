"""The site at work: a server if there is none, a worker, and connectors that are applied again and again."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from filelock import FileLock, Timeout
from prefect.client.schemas.objects import FlowRun
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from flows.console.invocation import command_as_typed
from flows.console.terminal import say, working
from flows.deploy import prefect_yaml
from flows.deploy.apply import apply_connectors
from flows.server import login, prefect_server, prefect_session
from flows.server.addresses import address
from flows.server.child_process import Child
from flows.server.login import CLIENT
from flows.server.run_log import RunLines, cancel, settle, under_way
from tasks.errors import AlertsError, OperatorError
from tasks.http.loopback import is_loopback
from tasks.settings import load_settings

STEP = 1.0  # seconds
LOOK_AT_RUNS, APPLY = 3.0, 30.0
STOPS_WITHIN = 20.0


class Stop(BaseException):
    """Somebody asked us to end; no error."""


def run(home: Path, host: str, port: int) -> None:
    """Serve until asked to end. Raises AlertsError where that cannot begin."""
    folder = home / "serve"
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    troubles = Troubles()
    try:
        with _stoppable(), _alone(home), ExitStack() as stack:
            server = _server(stack, home, host, port)
            with working("Deploying what prefect.yaml declares"):
                # Of a server of others nobody knows whether their workers are to tell anybody.
                prefect_yaml.deploy(notify=bool(load_settings().notify) if server else None)
                done = apply_connectors()
            for pool in prefect_yaml.unrestricted_pools():
                say(
                    f"Whoever may start a run of the work pool {pool} chooses its command or its environment: the "
                    "pool's template is this site's own and offers that. flows/server/README.md says how to close it.",
                    style="yellow",
                )
            for poll in done.polls:
                say(poll.summary())
            troubles.tell_new(done.unusable)
            workers = [_worker(stack, pool, folder) for pool in prefect_yaml.process_pools()]
            _say_where(own=server is not None)
            _watch([*filter(None, [server]), *workers], troubles)
    except Stop:
        say("Stopped. Schedules stay as they are.")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block once; while it is left, neither does anything."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Stop

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    lock = FileLock(home / "serve.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OperatorError(f"Another `serve` is running for {home}. Stop it first, or name another --home.") from None
    try:
        yield
    finally:
        lock.release()


def _server(stack: ExitStack, home: Path, host: str, port: int) -> Child | None:
    """The server to use answers now; a process only if it is our own."""
    server = None
    if not prefect_session.server_in_use():
        own_login = _login(home, host)
        server = prefect_server.child(host, port, home / "serve", own_login)
        server.start()
        stack.callback(server.stop, STOPS_WITHIN)
        os.environ |= {"PREFECT_API_URL": address(host, port), CLIENT: own_login}
        refresh_global_settings_context()
    else:
        prefect_session.warn_of_open_api()
    url = str(get_current_settings().api.url)
    with working("Starting the Prefect server (the first time up to a minute)" if server else f"Waiting for {url}"):
        prefect_server.wait(url, server)
    return server


def _login(home: Path, host: str) -> str:
    """What our server asks for: what the site has set, or else the home's own login."""
    if not is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        say(f"Others reach {host}, and a login sent there by http can be read on its way: put TLS before it.")
    if own := prefect_session.site_login():
        return own
    line, made = login.login(home)
    if made:
        say("The server asks for a login from now on. Workers, profiles and `prefect` commands of your own need:")
        say(login.how_to_give(home))
    return line


def _worker(stack: ExitStack, pool: str, folder: Path) -> Child:
    name = f"serve-{socket.gethostname()}"
    # Each run is a process of 100 MB that imports for seconds: many at once starve the server, which then answers 503.
    limit = str(max(4, os.cpu_count() or 1))
    call = ["worker", "start", "--pool", pool, "--type", "process", "--name", name, "--limit", limit]
    worker = Child("worker", call, folder, {"PREFECT_LOGGING_LEVEL": "INFO"})  # that of its runs, too
    worker.start()
    stack.callback(_stop_worker, worker)
    return worker


def _stop_worker(worker: Child) -> None:
    """Runs under way get their cancel first, so that they end in order: complete slices stay, slots are given back."""
    say("Stopping …")
    runs: list[FlowRun] = []
    try:
        if worker.pid:
            runs = under_way(worker.pid)
            cancel(runs, STOPS_WITHIN)
            runs += under_way(worker.pid)  # it took on work until now
    except AlertsError as error:
        say(str(error))
    worker.stop(STOPS_WITHIN)
    with suppress(AlertsError):  # said above
        settle(runs)


def _say_where(*, own: bool) -> None:
    url = str(get_current_settings().api.url)
    say(f"Serving. The UI is at {url.removesuffix('/api')}  (Ctrl-C ends it)", style="green")
    if own and url != "http://127.0.0.1:4200/api":
        say(f"For other commands: export PREFECT_API_URL={url}")
    if own:
        say(f"It asks for a login; `{command_as_typed()} server-login` says where that is.")


class Due(NamedTuple):
    """When the next of each is due."""

    runs: float
    apply: float


def _watch(children: list[Child], troubles: "Troubles") -> None:
    """Until we are stopped: children live, ended runs get their line, connectors are applied."""
    lines, due = RunLines(datetime.now(UTC)), Due(0.0, time.monotonic() + APPLY)
    while True:
        for child in children:
            if line := child.revive():
                say(line, style="yellow")
        now = time.monotonic()
        if now >= due.runs:
            with troubles.told_once():
                for line in lines.new():
                    say(line)
            due = due._replace(runs=now + LOOK_AT_RUNS)
        if now >= due.apply:
            with troubles.told_once():
                done = apply_connectors()
                for poll in (each for each in done.polls if each.done != "unchanged"):
                    say(poll.summary())
                troubles.tell_new(done.unusable)
            due = due._replace(apply=now + APPLY)
        time.sleep(STEP)


class Troubles:
    """What goes wrong again and again is said once, until something else happens."""

    def __init__(self) -> None:
        self._last = ""
        self._unusable: dict[str, str] = {}

    def tell_new(self, unusable: dict[str, str]) -> None:
        """Say of connectors what was not said when this was last asked."""
        for name, wrong in unusable.items():
            if self._unusable.get(name) != wrong:
                say(wrong, style="yellow")
        self._unusable = unusable

    @contextmanager
    def told_once(self) -> Iterator[None]:
        try:
            yield
        except AlertsError as error:
            if str(error) != self._last:
                self._last = str(error)
                say(self._last, style="yellow")
        else:
            self._last = ""
