"""Runs whose process died with its worker: nobody is left to say so, and they would be shown as running for ever.

Prefect's own means: an automation that misses their heartbeats. It is made here, because prefect.yaml can only declare
automations that start a flow. (Their slot is free again within five minutes, by the end of its lease.)
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

NAME = "attachment-alerts: runs that died"
HEARTBEAT = "prefect.flow-run.heartbeat"  # every 180 s by default, also where a site has not set it otherwise
HEARTBEAT_TIMEOUT = timedelta(seconds=400)
FINAL_EVENTS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Skipped")}


def ensure_zombie_automation(client: SyncPrefectClient) -> None:
    """Have the server watch for them, unless it does already."""
    if client.read_automations_by_name(NAME):
        return
    trigger = EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *FINAL_EVENTS},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": "prefect.tag.attachment-alerts"},  # another project's are not ours
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=HEARTBEAT_TIMEOUT,
    )
    says = "Its process has died without a word. What was complete is kept."
    died = ChangeFlowRunState(name=None, state=StateType.CRASHED, message=says, force=False)
    client.create_automation(AutomationCore(name=NAME, trigger=trigger, actions=[died]))
