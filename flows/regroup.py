"""Group all stored alerts by another key or other limits."""

from functools import partial
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.runs.maintenance_run import regroup_summary, run_change
from tasks.maintenance.regroup import run_regroup
from tasks.settings import GroupBy

Hours = Annotated[int, Field(ge=0)]


@flow(name="regroup", flow_run_name="regroup")
def regroup(
    group_by: GroupBy | None = None,
    gap_hours: Hours | None = None,
    span_hours: Hours | None = None,
    apply: bool = False,
) -> State[Any]:
    """Show what grouping all alerts by another key or other limits would change, or change it.

    Empty parameters take the value of the settings. Later runs group by the settings, so change those as well.

    Args:
        group_by: What alerts of a tenant must have in common to form a group.
        gap_hours: Longest gap between two consecutive alerts of a group; 0: no limit.
        span_hours: Longest time between the first and the last alert of a group; 0: no limit.
        apply: Make the change, in one transaction. Without it, nothing is changed.
    """
    work = partial(run_regroup, group_by=group_by, gap_hours=gap_hours, span_hours=span_hours, apply=apply)
    return run_change(work, regroup_summary)
