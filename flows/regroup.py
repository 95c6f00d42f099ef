"""All alerts grouped anew, by another key or other limits."""

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.runs.maintenance_run import run_maintenance
from tasks.maintenance.regroup import regrouped

GroupBy = Literal["hash", "hash+priority", "hash+response", "hash+priority+response"]
Hours = Annotated[int, Field(ge=0)]


@flow(name="regroup", flow_run_name="regroup")
def regroup(
    group_by: GroupBy | None = None,
    gap_hours: Hours | None = None,
    span_hours: Hours | None = None,
    apply: bool = False,
) -> State[Any]:
    """Show what grouping all alerts by another key or other limits would change, or change it.

    What is left empty is as the settings say. Later runs group by the settings: change those, too.

    Args:
        group_by: What alerts must share, beside the tenant, to be one group.
        gap_hours: An alert this long after its predecessor still joins; 0 means no limit.
        span_hours: An alert this long after the group's first still joins; 0 means no limit.
        apply: Change the groups, in one transaction. Without it nothing is changed.
    """
    verb = "became" if apply else "would become"
    return run_maintenance(
        lambda store: regrouped(store, group_by, gap_hours, span_hours, apply=apply),
        lambda n: f"{n['groups_before']} groups {verb} {n['groups_after']}; {n['alerts_moved']} alerts move.",
        apply=apply,
    )
