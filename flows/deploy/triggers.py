"""Switches of the automations that prefect.yaml declares as triggers: Prefect creates them again at every deploy.

What a person has switched off stays off. While no notification is configured they are off too, so that no run starts
only to be skipped. Their description says so, which distinguishes them from those that a person has switched off.
"""

from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient

DISABLED_NOTE = "Waits for ATTACHMENT_ALERTS_NOTIFY."


class Switch(NamedTuple):
    """The switch of one automation."""

    on: bool = True
    waits: bool = False
    """whether it was switched off here; a person may have switched it on since"""


def read_switches(client: SyncPrefectClient, deployments: list[dict[str, Any]]) -> dict[str, Switch]:
    """The present switches of the automations that prefect.yaml declares, by name."""
    names = [trigger["name"] for each in deployments for trigger in each.get("triggers", [])]
    found = [each for name in names for each in client.read_automations_by_name(name)]
    return {each.name: Switch(each.enabled, each.description.endswith(DISABLED_NOTE)) for each in found}


def with_switches(
    deployments: list[dict[str, Any]], before: dict[str, Switch], notify: bool | None
) -> list[dict[str, Any]]:
    """These deployments with the switches of their triggers set. `notify`: see `desired_switch`.

    They are created with the right switch, since a deploy may be interrupted before it could be corrected.
    """

    def with_switch(trigger: dict[str, Any]) -> dict[str, Any]:
        on, waits = desired_switch(before.get(trigger["name"], Switch()), notify)
        note = f" {DISABLED_NOTE}" if waits else ""
        return trigger | {"enabled": on, "description": f"{trigger['description']}{note}"}

    return [each | {"triggers": [with_switch(trigger) for trigger in each.get("triggers", [])]} for each in deployments]


def desired_switch(before: Switch, notify: bool | None) -> Switch:
    """As it was if a person has set it, or if it is unknown whether notifications are configured (`notify` None)."""
    if notify is None or before.on == before.waits:
        return before
    return Switch(on=notify, waits=not notify)
