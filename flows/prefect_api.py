"""Prefect as a command needs it: our settings, the server that is running, a quiet terminal."""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from flows import prefect_settings
from flows.terminal import say, show_log

RUNS = ("prefect.flow_runs", "prefect.task_runs")


def ready(change: Callable[[str], None]) -> None:
    """Import Prefect with this project's settings; where no API is configured, use the local server that answers."""
    own_level = "PREFECT_LOGGING_LEVEL" in os.environ
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    prefect_settings.apply()
    change("Loading Prefect")
    importlib.import_module("prefect.flows")
    show_log()
    if not own_level:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_not_about_runs)
    if not _configured():
        _use_local_server()
    if not _configured():
        change("Starting a temporary Prefect server, this takes 10 to 25 s")


def hush_children(into: Path) -> None:
    """Send what child processes write to stderr into a file: the temporary server reports its own end as a failure."""
    if sys.stderr.fileno() != 2:  # somebody has put a stream of their own there
        return
    into.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    terminal = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    file = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 2)
    os.close(file)
    sys.stderr = terminal


def _configured() -> bool:
    settings = importlib.import_module("prefect.settings")
    return bool(settings.get_current_settings().api.url)


def _use_local_server() -> None:
    """Set PREFECT_API_URL for this process if a server answers where one would be started."""
    server = importlib.import_module("prefect.settings").get_current_settings().server.api
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104 - compared, not bound
    url = f"http://{host}:{server.port}/api"
    try:
        answer = httpx.get(f"{url}/health", timeout=1.0, trust_env=False)
    except httpx.TransportError:
        return
    if answer.status_code == httpx.codes.OK and answer.text.strip() == "true":
        os.environ["PREFECT_API_URL"] = url
        importlib.import_module("prefect.context").refresh_global_settings_context()
        say(f"Using the Prefect server that answers at {url}.")


def _not_about_runs(entry: logging.LogRecord) -> bool:
    """How a run went is told by the command itself."""
    return not entry.name.startswith(RUNS)
