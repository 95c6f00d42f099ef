"""Prefect as a command needs it: our settings, the server that is running, a quiet terminal."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.console.terminal import say, show_log, working
from flows.server import api_in_use, login, open_api, prefect_settings
from flows.server.addresses import address
from tasks.http.loopback import is_loopback

SPEAK_FOR_THEMSELVES = ("prefect.flow_runs", "prefect.task_runs", "EventsWorker", "APILogWorker")
ANSWERS = 200
LOOPS = "prefect._internal.concurrency.threads"
ENDING = 5.0  # seconds for a thread of Prefect's to end


def load(home: Path, server: tuple[str, int] | None = None) -> None:
    """Import Prefect with this project's settings; where no API is configured, use the local server that answers.

    `server`: where it would listen; without it, what a temporary server writes goes into a file in `home`.
    """
    if server:
        os.environ |= {"PREFECT_SERVER_API_HOST": server[0], "PREFECT_SERVER_API_PORT": str(server[1])}
    own_level = "PREFECT_LOGGING_LEVEL" in os.environ
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    prefect_settings.apply()
    with working("Loading Prefect"):
        importlib.import_module("prefect.flows")
        importlib.import_module("tasks.saved_connectors")
    show_log()
    if not own_level:
        _hush_prefect()
    if not _configured():
        _use_local_server()
    api_in_use.secure()
    if _configured():
        _use_login(home)
    elif not server:
        line = login.new_line()  # of a server that ends with this process
        os.environ |= {login.SERVER: line, login.CLIENT: line}
        _read_settings()
        _hush_children(home / "prefect.log")


@contextmanager
def asking(says: str = "Asking Prefect") -> Iterator[Callable[[str], None]]:
    """A sign of life around calls of Prefect's API, which may have to be started first."""
    yet_to_start = not _configured() and not _temporary_server_runs()
    temporary = "Starting a temporary Prefect server (10 to 25 s; `prefect server start` keeps one running)"
    text = temporary if yet_to_start else says
    with working(text) as change:
        yield change


def _hush_children(into: Path) -> None:
    """Send what child processes write to stderr into a file: the temporary server reports its own end as a failure."""
    if sys.stderr is not sys.__stderr__:  # somebody has put a stream of their own there
        return
    into.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    terminal = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    file = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 2)
    os.close(file)
    sys.stderr = terminal


def _hush_prefect() -> None:
    """How a run went is told by the command itself; queues that are not empty yet are nobody's business."""
    configuration = importlib.import_module("prefect.logging.configuration")
    if not configuration.PROCESS_LOGGING_CONFIG:
        configuration.setup_logging()  # later calls leave the handlers alone
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda entry: not entry.name.startswith(SPEAK_FOR_THEMSELVES))


def end_threads() -> None:
    """Let Prefect's event loops end before Python does, which would cut their threads short.

    What such a thread holds is never freed, the run's objects of DuckDB among it, and DuckDB then writes forty lines
    about that to stderr, below the one that says what failed.
    """
    threads = sys.modules.get(LOOPS)
    for name in ("_global_loop", "_run_sync_loop"):
        if loop := getattr(threads, name, None):
            loop.shutdown()
            loop.thread.join(ENDING)


def server_in_use() -> bool:
    """Whether there is a server that stays, and so runs schedules; a temporary one does not."""
    return _configured()


def warn_of_open_api() -> None:
    """Say so where the server that stays, if there is one, lets everybody in."""
    if url := _settings().api.url:
        open_api.warn_if_open(str(url))


def site_login() -> str | None:
    """The login that a site has set by itself for the servers it starts."""
    secret = _settings().server.api.auth_string
    return str(secret.get_secret_value()) or None if secret else None


def _settings() -> Any:
    return importlib.import_module("prefect.settings").get_current_settings()


def _read_settings() -> None:
    """Let Prefect see what has been put into the environment."""
    importlib.import_module("prefect.context").refresh_global_settings_context()


def _configured() -> bool:
    return bool(_settings().api.url)


def _temporary_server_runs() -> bool:
    server = sys.modules.get("prefect.server.api.server")
    return server is not None and any(each.running for each in server.SubprocessASGIServer._instances.values())


def _use_local_server() -> None:
    """Set PREFECT_API_URL for this process if a server answers where one would be started."""
    from flows.server import listener  # noqa: PLC0415 - what it needs is not for `--help`

    httpx = importlib.import_module("httpx")
    server = _settings().server.api
    url = address(server.host, server.port)
    try:
        answer = httpx.get(f"{url}/health", timeout=1.0, trust_env=False)
    except httpx.TransportError:
        return
    if answer.status_code != ANSWERS or answer.text.strip() != "true":
        return
    if not listener.is_ours(server.port):  # whoever opens the port first would be given the keys of all accounts
        say(f"The Prefect server at {url} may be another user's and is not used. If you trust it, set PREFECT_API_URL.")
        return
    os.environ["PREFECT_API_URL"] = url
    _read_settings()
    say(f"Using the Prefect server that answers at {url}; set PREFECT_API_URL for another.")


def _use_login(home: Path) -> None:
    """Where no login is set, use the home's for the server of this machine that was started with it.

    It is sent to nobody else: another user may have opened the port, or a tunnel may lead to another machine.
    """
    from flows.server import listener  # noqa: PLC0415 - as above

    api = _settings().api
    url = importlib.import_module("httpx").URL(api.url)
    if api.auth_string or api.key or not is_loopback(url.host):
        return
    line = site_login() or login.existing(home)
    if line is None:
        return
    port = url.port or {"https": 443}.get(url.scheme, 80)
    if listener.was_started_with(port, login.SERVER, line):
        os.environ[login.CLIENT] = line
        _read_settings()
    elif not listener.is_ours(port):
        say(f"{url} may be another user's, or be gone: the login of this home is not sent there.", style="yellow")
