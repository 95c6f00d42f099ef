"""Zombie runs: a run whose process was killed with its worker would be shown as running for ever.

Prefect's remedy is an automation that fires when heartbeats stop. It is created here, because prefect.yaml can only
declare automations that start a flow. (The run's concurrency slot is freed within five minutes, when its lease ends.)
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

NAME = "attachment-alerts: runs that died"
HEARTBEAT = "prefect.flow-run.heartbeat"  # every 180 s by default
HEARTBEAT_TIMEOUT = timedelta(seconds=400)
FINAL_EVENTS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Skipped")}


def ensure_zombie_automation(client: SyncPrefectClient) -> None:
    """Create the automation unless the server has it."""
    if client.read_automations_by_name(NAME):
        return
    trigger = EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *FINAL_EVENTS},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": "prefect.tag.attachment-alerts"},  # not the runs of other projects
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=HEARTBEAT_TIMEOUT,
    )
    message = "The run's process stopped responding. Completed slices were saved."
    crash = ChangeFlowRunState(name=None, state=StateType.CRASHED, message=message, force=False)
    client.create_automation(AutomationCore(name=NAME, trigger=trigger, actions=[crash]))
