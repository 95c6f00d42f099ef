"""Switches of the automations that prefect.yaml declares as triggers: Prefect makes them anew at every deploy.

What a person has switched off stays off. While nobody is to be told of anything they are off, too, so that no run
begins only to skip; they wear a tag then, to be told from those that a person has switched off.
"""

from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore

WAITS = "waits for ATTACHMENT_ALERTS_NOTIFY"


class Switch(NamedTuple):
    """Of one automation."""

    on: bool = True
    waits: bool = False
    """whether it was switched off here; a person may have switched it on since"""


def switches(client: SyncPrefectClient, declared: list[dict[str, Any]]) -> dict[str, Switch]:
    """As they are now, by name."""
    return {each.name: Switch(each.enabled, WAITS in each.tags) for each in _automations(client, declared)}


def switch(
    client: SyncPrefectClient, declared: list[dict[str, Any]], before: dict[str, Switch], told: bool | None
) -> None:
    """Switch them as they were before; on or off where that follows from whether anybody is told (None: unknown)."""
    for each in _automations(client, declared):
        on, waits = wanted(before.get(each.name, Switch()), told)
        if (on, waits) != (each.enabled, WAITS in each.tags):
            each.enabled, each.tags = on, [WAITS] if waits else []
            client.update_automation(each.id, AutomationCore(**each.model_dump(exclude={"id", "owner_resource"})))


def wanted(before: Switch, told: bool | None) -> Switch:
    """A switch that is not as we have left it is a person's."""
    if told is None or before.on == before.waits:
        return before
    return Switch(on=told, waits=not told)


def _automations(client: SyncPrefectClient, declared: list[dict[str, Any]]) -> list[Automation]:
    names = [trigger["name"] for each in declared for trigger in each.get("triggers", [])]
    return [each for name in names for each in client.read_automations_by_name(name)]
