"""What is older than the settings keep: told, then removed."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.pull import RunFailed
from tasks.database import Store
from tasks.errors import AlertsError
from tasks.retention import retained
from tasks.settings import load_settings


@flow(name="retention", flow_run_name="retention")
def retention(apply: bool = False) -> State[Any]:
    """Remove what is older than the settings keep, and give its room back to the disk.

    Open alerts stay for ever, and so does the knowledge of what time was fetched.

    Args:
        apply: Remove it, in one transaction. Without it, it is only counted.
    """
    try:
        counts = retained(Store(load_settings()), apply=apply)
    except AlertsError as error:
        return Failed(message=str(error), data=RunFailed(str(error), {}))
    some = [f"{count} {kind}" for kind, count in counts["removed"].items() if count]
    verb = "Removed" if apply else "Would remove"
    return Completed(message=f"{verb} {', '.join(some) or 'nothing'}.", data=counts)
