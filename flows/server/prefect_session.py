"""Prefect as a command needs it: our settings, the server that is running, a quiet terminal."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.console.terminal import say, show_log, working
from flows.server import api_in_use, prefect_settings

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
    if not server and not _configured():
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


def _configured() -> bool:
    settings = importlib.import_module("prefect.settings")
    return bool(settings.get_current_settings().api.url)


def _temporary_server_runs() -> bool:
    server = sys.modules.get("prefect.server.api.server")
    return server is not None and any(each.running for each in server.SubprocessASGIServer._instances.values())


def _use_local_server() -> None:
    """Set PREFECT_API_URL for this process if a server answers where one would be started."""
    httpx = importlib.import_module("httpx")
    server = importlib.import_module("prefect.settings").get_current_settings().server.api
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104 - compared, not bound
    url = f"http://{host}:{server.port}/api"
    try:
        answer = httpx.get(f"{url}/health", timeout=1.0, trust_env=False)
    except httpx.TransportError:
        return
    if answer.status_code == ANSWERS and answer.text.strip() == "true":
        os.environ["PREFECT_API_URL"] = url
        importlib.import_module("prefect.context").refresh_global_settings_context()
        say(f"Using the Prefect server that answers at {url}; set PREFECT_API_URL for another.")
