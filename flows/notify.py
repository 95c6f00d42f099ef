"""Send messages about events through the notification blocks that the settings name."""

from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.message_run import send_message


@flow(name="notify", flow_run_name="{about}: {event}")
def notify(event: str, about: str, facts: dict[str, Any] | None = None, event_id: UUID | None = None) -> State[Any]:
    """Send a message about an event. Started by the triggers of prefect.yaml, or manually to test the blocks.

    Args:
        event: Name of the event, such as `attachment-alerts.group.opened`.
        about: Name of the event's resource: the group or connector it is about.
        facts: Payload of the event.
        event_id: ID of the event. With it, later runs send the message again if that fails now.
    """
    return send_message(event, about, facts or {}, event_id)
