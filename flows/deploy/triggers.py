"""Switches of the automations that prefect.yaml declares as triggers, which Prefect recreates at every deploy.

What a person has switched off stays off. Without configured notifications they are off too, so that no run starts
only to be skipped. A note in their description distinguishes these from those that a person has switched off.
"""

from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient

DISABLED_NOTE = "Waits for ATTACHMENT_ALERTS_NOTIFY."


class Switch(NamedTuple):
    """The switch of one automation."""

    on: bool = True
    waits: bool = False
    """whether a deploy has switched it off; a person may have switched it on since"""


def read_switches(client: SyncPrefectClient, deployments: list[dict[str, Any]]) -> dict[str, Switch]:
    """The present switches of the automations that prefect.yaml declares, by name."""
    names = [trigger["name"] for deployment in deployments for trigger in deployment.get("triggers", [])]
    found = [automation for name in names for automation in client.read_automations_by_name(name)]
    return {
        automation.name: Switch(automation.enabled, automation.description.endswith(DISABLED_NOTE))
        for automation in found
    }


def with_switches(
    deployments: list[dict[str, Any]], before: dict[str, Switch], notify: bool | None
) -> list[dict[str, Any]]:
    """These deployments with the switches of their triggers set. `notify`: see `desired_switch`.

    A deploy creates them with the right switch, since it may be interrupted before a later correction.
    """

    def with_switch(trigger: dict[str, Any]) -> dict[str, Any]:
        on, waits = desired_switch(before.get(trigger["name"], Switch()), notify)
        note = f" {DISABLED_NOTE}" if waits else ""
        return trigger | {"enabled": on, "description": f"{trigger['description']}{note}"}

    return [
        deployment | {"triggers": [with_switch(trigger) for trigger in deployment.get("triggers", [])]}
        for deployment in deployments
    ]


def desired_switch(before: Switch, notify: bool | None) -> Switch:
    """Unchanged if a person has set it, or if it is unknown whether notifications are configured (`notify` is None)."""
    if notify is None or before.on == before.waits:
        return before
    return Switch(on=notify, waits=not notify)
