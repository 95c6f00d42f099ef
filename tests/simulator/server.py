"""Serve a simulator on loopback: in a thread for tests, in the foreground for `python -m tests.simulator`."""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn

from tasks.errors import SettingsError
from tests.simulator.app import application
from tests.simulator.service import Simulator

_START_SECONDS = 20.0


@dataclass(frozen=True)
class Running:
    url: str
    simulator: Simulator


@contextmanager
def serve(simulator: Simulator, port: int = 0, host: str = "127.0.0.1") -> Iterator[Running]:
    """Serve from a thread of this process; port 0 selects a free one. Raises SettingsError off loopback."""
    with _listening(host, port) as listener:
        server = _server(simulator)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True)
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield Running(_url(listener), simulator)
        finally:
            server.should_exit = True
            thread.join()


def run(
    simulator: Simulator, port: int = 0, host: str = "127.0.0.1", ready: Callable[[str], None] | None = None
) -> None:
    """Serve until interrupted (Ctrl-C, SIGTERM); `ready` is called with the URL when the port is open."""
    with _listening(host, port) as listener, suppress(KeyboardInterrupt):
        if ready:
            ready(_url(listener))
        _server(simulator).run(sockets=[listener])


def _server(simulator: Simulator) -> uvicorn.Server:
    logging.getLogger("uvicorn.error").addFilter(_not_about_cut_answers)
    config = uvicorn.Config(
        application(simulator),
        log_config=None,  # the caller decides where logs go
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,  # the simulated service has a clock of its own
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _not_about_cut_answers(entry: logging.LogRecord) -> bool:
    """A cut answer is a planned fault, not an error of the server."""
    return entry.getMessage() != "ASGI callable returned without completing response."


def _listening(host: str, port: int) -> socket.socket:
    if not _is_loopback(host):
        raise SettingsError(f"The simulator serves on loopback only; {host!r} is not. Use 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With IPPROTO_TCP asyncio switches off Nagle's algorithm; otherwise each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"Port {port} cannot be used ({error.strerror}). Choose another one.") from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise SettingsError("The simulator did not start. See its log.")
        time.sleep(0.01)
