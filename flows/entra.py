"""Pull of people, groups and devices from Microsoft Graph."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs import directory_run


@flow(name="entra", flow_run_name="{connector} pull")
def entra(connector: str, confirm_gone: bool = False) -> State[Any]:
    """Read people, mail groups and devices from Microsoft Graph, and match the alerts with them again.

    Args:
        connector: Name of the saved connector of the directory.
        confirm_gone: Import even if this marks many people as gone. Such a pull is refused otherwise, because the
            usual cause is a permission that was removed.
    """
    return directory_run.run_pull(connector, confirmed=confirm_gone)
