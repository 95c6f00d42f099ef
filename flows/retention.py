"""Delete what is older than the retention settings allow."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import Counts, run_maintenance
from tasks.maintenance.retention import run_retention


@flow(name="retention", flow_run_name="retention")
def retention(apply: bool = False) -> State[Any]:
    """Delete what is older than the retention settings allow, and compact the store.

    Open alerts and coverage are never deleted.

    Args:
        apply: Delete it, in one transaction. Without it, it is only counted.
    """
    verb = "Deleted" if apply else "Would delete"

    def summary(counts: Counts) -> str:
        some = [f"{count} {kind}" for kind, count in counts["removed"].items() if count]
        return f"{verb} {', '.join(some) or 'nothing'}."

    return run_maintenance(lambda store: run_retention(store, apply=apply), summary, apply=apply)
