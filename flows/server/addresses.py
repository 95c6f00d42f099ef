"""Addresses of a Prefect server on this machine."""

import os
import socket

ORIGINS = "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"


def configured_url() -> str:
    """The API that the environment names, or else the address of a server on this machine."""
    host = os.environ.get("PREFECT_SERVER_API_HOST") or "127.0.0.1"
    port = os.environ.get("PREFECT_SERVER_API_PORT") or "4200"
    return os.environ.get("PREFECT_API_URL") or address(host, port)


def address(host: str, port: int | str) -> str:
    """The API of a server on this machine that listens on this host and port."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}/api" if ":" in shown else f"http://{shown}:{port}/api"


def own_origins(host: str, port: int) -> str:
    """The server's own origins, the only ones whose pages may read its responses. An empty list would allow all."""
    hosts = dict.fromkeys(["127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host])
    return ",".join(f"http://{name}:{port}" for name in hosts)


def free_port() -> int:
    """A loopback port without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
