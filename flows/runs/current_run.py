"""What Prefect knows of the flow run that is in progress; outside of one, nothing applies."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.runtime import flow_run


def is_scheduled() -> bool:
    """Whether a schedule created this run, which shows that the schedule is switched on."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


def was_cancelled_before_start() -> bool:
    """Whether a person ended this run before its process started.

    Between the moment when a worker takes a run and the start of its process, Prefect 3.8 knows no process to end. It
    sets the run to cancelled, gives its slot to another one, and then starts it all the same.
    """
    run_id = flow_run.get_id()
    if run_id is None:
        return False
    with get_client(sync_client=True) as client:
        states = sorted(client.read_flow_run_states(UUID(run_id)), key=lambda state: state.timestamp)
    return len(states) > 1 and (states[-2].is_cancelled() or states[-2].is_cancelling())
