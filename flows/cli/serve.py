"""Everything a small site needs on one machine, in one command."""

import importlib
from typing import Annotated

import typer

from flows.console.options import Home
from flows.server import prefect_session
from tasks.settings import load_settings

Port = Annotated[int, typer.Option(min=1, max=65535, envvar="PREFECT_SERVER_API_PORT", help="Port of API and UI.")]
Host = Annotated[
    str,
    typer.Option(envvar="PREFECT_SERVER_API_HOST", help="Address to listen on. Others than this machine's own need "
                 "a proxy with TLS before them."),
]  # fmt: skip


def serve(port: Port = 4200, host: Host = "127.0.0.1", home: Home = None) -> None:
    """Run everything on this machine: Prefect's server and UI, all deployments, the polls of the saved connectors.

    Uses the server of PREFECT_API_URL, or one that answers on the port; else it starts its own. Saved, changed and
    removed connectors are noticed by themselves. Ctrl-C ends it; schedules stay as they are.
    """
    settings = load_settings()
    prefect_session.load(settings.home, server=(host, port))
    importlib.import_module("flows.server.supervisor").run(settings.home, host, port)
