"""The command `serve`: everything a small site needs on one machine."""

# ruff: noqa: PLC0415 - imported where it is used: the supervisor imports Prefect, which must be configured first

import os
from typing import Annotated

import typer

from flows.console.options import Home
from flows.server import prefect_session
from tasks.settings import load_settings

Port = Annotated[int, typer.Option(min=1, max=65535, envvar="PREFECT_SERVER_API_PORT", help="Port of API and UI.")]
Host = Annotated[
    str,
    typer.Option(
        envvar="PREFECT_SERVER_API_HOST",
        help="Address to listen on. An address that other machines can reach needs a reverse proxy with TLS.",
    ),
]


def serve(port: Port = 4200, host: Host = "127.0.0.1", home: Home = None) -> None:
    """Run everything on this machine: Prefect server and UI, all deployments, scheduled polls of saved connectors.

    Uses the server of PREFECT_API_URL, or one that already answers on the port; otherwise starts its own. Connectors
    that are added, changed or removed take effect within half a minute. Ctrl-C stops it; schedules are kept.
    """
    settings = load_settings()
    os.environ |= {"PREFECT_SERVER_API_HOST": host, "PREFECT_SERVER_API_PORT": str(port)}
    prefect_session.load(settings.home, start_server=False)
    from flows.server import supervisor

    supervisor.run(settings.home, host, port)
