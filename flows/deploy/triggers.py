"""Switches of the automations that prefect.yaml declares as triggers: Prefect makes them anew at every deploy.

What a person has switched off stays off. While nobody is to be told of anything they are off, too, so that no run
begins only to skip; their description says so then, which tells them from those that a person has switched off.
"""

from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient

DISABLED_NOTE = "Waits for ATTACHMENT_ALERTS_NOTIFY."


class Switch(NamedTuple):
    """Of one automation."""

    on: bool = True
    waits: bool = False
    """whether it was switched off here; a person may have switched it on since"""


def read_switches(client: SyncPrefectClient, declared: list[dict[str, Any]]) -> dict[str, Switch]:
    """As they are now, by name."""
    names = [trigger["name"] for each in declared for trigger in each.get("triggers", [])]
    found = [each for name in names for each in client.read_automations_by_name(name)]
    return {each.name: Switch(each.enabled, each.description.endswith(DISABLED_NOTE)) for each in found}


def with_switches(declared: list[dict[str, Any]], before: dict[str, Switch], told: bool | None) -> list[dict[str, Any]]:
    """The same deployments; their triggers are switched as they were before, or as `told` asks for (None: unknown).

    They are so from the moment they are made: nothing is to be put right after a deploy, which may be cut off.
    """

    def anew(trigger: dict[str, Any]) -> dict[str, Any]:
        on, waits = desired_switch(before.get(trigger["name"], Switch()), told)
        return trigger | {
            "enabled": on,
            "description": f"{trigger['description']}{f' {DISABLED_NOTE}' if waits else ''}",
        }

    return [each | {"triggers": [anew(trigger) for trigger in each.get("triggers", [])]} for each in declared]


def desired_switch(before: Switch, told: bool | None) -> Switch:
    """A switch that is not as we have left it is a person's."""
    if told is None or before.on == before.waits:
        return before
    return Switch(on=told, waits=not told)
