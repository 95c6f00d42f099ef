"""All alerts grouped anew, by another key or other limits."""

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows import events
from flows.pull import RunFailed
from tasks.database import Store
from tasks.errors import AlertsError
from tasks.regroup import regrouped
from tasks.settings import load_settings

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
    try:
        store = Store(load_settings())
        counts = regrouped(store, group_by, gap_hours, span_hours, apply=apply)
        if apply:
            events.after_change(store)
    except AlertsError as error:
        return Failed(message=str(error), data=RunFailed(str(error), {}))
    verb = "became" if apply else "would become"
    says = f"{counts['groups_before']} groups {verb} {counts['groups_after']}; {counts['alerts_moved']} alerts move."
    return Completed(message=says, data=counts)
