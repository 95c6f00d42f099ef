"""What is older than the settings keep: told, then removed."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import Counts, run_maintenance
from tasks.maintenance.retention import retained


@flow(name="retention", flow_run_name="retention")
def retention(apply: bool = False) -> State[Any]:
    """Remove what is older than the settings keep, and give its room back to the disk.

    Open alerts stay for ever, and so does the knowledge of what time was fetched.

    Args:
        apply: Remove it, in one transaction. Without it, it is only counted.
    """
    verb = "Removed" if apply else "Would remove"

    def says(counts: Counts) -> str:
        some = [f"{count} {kind}" for kind, count in counts["removed"].items() if count]
        return f"{verb} {', '.join(some) or 'nothing'}."

    return run_maintenance(lambda store: retained(store, apply=apply), says, apply=apply)
