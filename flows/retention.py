"""Delete what is older than the retention settings allow."""

from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import retention_summary, run_change
from tasks.maintenance.retention import run_retention


@flow(name="retention", flow_run_name="retention")
def retention(apply: bool = False) -> State[Any]:
    """Delete what is older than the retention settings allow, and compact the store.

    Open alerts and coverage are never deleted.

    Args:
        apply: Delete it, in one transaction. Without it, it is only counted.
    """
    return run_change(partial(run_retention, apply=apply), retention_summary)
