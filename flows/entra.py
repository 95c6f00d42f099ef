"""Live pull of people, groups and devices from Microsoft Graph, by the name of its saved connector."""

import threading
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.directory import load, outcome
from flows.pull import RunFailed
from tasks.connectors import load_connector
from tasks.directory.imports import Export
from tasks.directory.model import Parsed
from tasks.entra.connector import EntraConnector
from tasks.entra.pull import pull
from tasks.errors import AlertsError


@task(task_run_name="pull {connector}", cache_policy=NO_CACHE)
def fetch(connector: str) -> tuple[str, list[Parsed]]:
    """The connector's tenant, and every page of every listing that the application may read, or an exception."""
    saved = cast(EntraConnector, load_connector(connector))
    return saved.tenant, pull(saved, threading.Event())


@flow(name="entra", flow_run_name="{connector} pull")
def entra(connector: str, confirm_gone: bool = False) -> State[Any]:
    """Read people, mail groups and devices from Microsoft Graph, and tell again whom and what each alert concerns.

    Args:
        connector: Which directory: the name under which its connector is saved.
        confirm_gone: Import also what would mark many people as gone. Without it such a pull is refused, because it is
            usually a permission that was taken away.
    """
    now = datetime.now(UTC)
    try:
        tenant, pulled = fetch(connector)
        # A pull is fresh even where it says the same as the last one, so it never counts as the same file.
        exports = [Export(f"{connector}: {parsed.source}", uuid4().hex, parsed) for parsed in pulled]
        outcomes = load(tenant, exports, now, confirmed=confirm_gone)
    except AlertsError as error:
        return Failed(message=str(error), data=RunFailed(str(error), {"files": []}))
    return outcome(outcomes, [])


poll = entra
