"""A Prefect server of a site's own: which one is used, and how one is started."""

import ipaddress
import os
import socket
import time
from pathlib import Path

import httpx

from flows.server.child_process import Child
from tasks.errors import OperatorError, Unreachable

PATIENCE = 180.0  # seconds for a first start on a small machine
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
AUTH = "PREFECT_SERVER_API_AUTH_STRING"


def child(host: str, port: int, folder: Path) -> Child:
    """A server to be started. Raises OperatorError where it must not or cannot listen there."""
    if not _is_loopback(host) and not os.environ.get(AUTH):
        raise OperatorError(
            f"{host} can be reached by others, and the server would let everybody in. Set {AUTH}=user:password (and "
            "PREFECT_API_AUTH_STRING to the same for commands and workers), or leave --host out."
        )
    _refuse_taken(host, port)
    call = ["server", "start", "--host", host, "--port", str(port)]
    return Child("Prefect server", call, folder, {"PREFECT_LOGGING_LEVEL": "WARNING"})


def address(host: str, port: int) -> str:
    """The API's address for whoever is on this machine."""
    shown = EVERYWHERE.get(host, host)
    return f"http://[{shown}]:{port}/api" if ":" in shown else f"http://{shown}:{port}/api"


def wait(url: str, server: Child | None) -> None:
    """Until it answers. Raises Unreachable where it does not, or has ended."""
    until = time.monotonic() + PATIENCE
    while not _answers(url, through_proxy=server is None):
        if server and not server.alive:
            raise Unreachable(f"The Prefect server did not start; {server.log} says why.")
        if time.monotonic() > until:
            raise Unreachable(f"No answer from the Prefect server at {url}. Start it, or correct PREFECT_API_URL.")
        time.sleep(0.25)


def _answers(url: str, *, through_proxy: bool) -> bool:
    try:
        return httpx.get(f"{url.rstrip('/')}/health", timeout=5.0, trust_env=through_proxy).is_success
    except httpx.TransportError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as refused:
            raise OperatorError(
                f"Nothing can listen on {host} port {port} ({refused.strerror}). Choose another with --port."
            ) from None
