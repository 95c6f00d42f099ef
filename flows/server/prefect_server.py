"""A Prefect server of a site's own: which one is used, and how one is started."""

import socket
import time
from pathlib import Path

import httpx

from flows.server import login as server_login
from flows.server.addresses import ORIGINS, own_origins
from flows.server.child_process import Child
from tasks.errors import OperatorError, Unreachable

PATIENCE = 180.0  # seconds for a first start on a small machine


def child(host: str, port: int, folder: Path, login: str) -> Child:
    """A server to be started, which asks for this login. Raises OperatorError where it cannot listen there."""
    _refuse_taken(host, port)
    call = ["server", "start", "--host", host, "--port", str(port)]
    environment = {"PREFECT_LOGGING_LEVEL": "WARNING", server_login.SERVER: login, ORIGINS: own_origins(host, port)}
    return Child("Prefect server", call, folder, environment)


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
