"""Runs that Prefect starts although somebody has cancelled them.

Between the moment when a worker takes a run and the start of its process, Prefect 3.8 knows no process to end. It calls
the run cancelled, gives its slot to another one, and then starts it all the same: from Cancelled it becomes Running.
"""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run


def begun_although_cancelled() -> bool:
    """Whether the state before the present one was the end that a person wished for."""
    run_id = flow_run.get_id()
    if run_id is None:
        return False
    with get_client(sync_client=True) as client:
        states = sorted(client.read_flow_run_states(UUID(run_id)), key=lambda state: state.timestamp)
    return len(states) > 1 and (states[-2].is_cancelled() or states[-2].is_cancelling())
