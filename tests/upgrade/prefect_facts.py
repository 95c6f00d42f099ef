"""What a Prefect server holds of a site, as JSON: `python -m tests.upgrade.prefect_facts`.

A process of its own, because it asks the server as the product's commands do: same settings, same address, same login.
"""

import json
import sys
from typing import Any

from flows.server import prefect_session as prefect_api
from tasks.settings import load_settings

SECRETS_TOO = {"include_secrets": True}
OURS = "attachment-alerts."
PAGE, EVENTS = 200, 50  # the most that Prefect gives at once


def facts() -> dict[str, Any]:
    """Blocks, deployments, automations, artifacts, events and work pools by name."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - Prefect is loaded with the site's settings
    from prefect.events.filters import EventFilter, EventNameFilter  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        blocks = client.request("POST", "/block_documents/filter", json=SECRETS_TOO).json()
        flows = {flow.id: flow.name for flow in client.read_flows(limit=PAGE)}
        deployments = client.read_deployments(limit=PAGE)
        automations = client.read_automations()
        artifacts = client.read_latest_artifacts(limit=PAGE)
        pools = client.read_work_pools(limit=PAGE)
        events = client.read_events(EventFilter(event=EventNameFilter(prefix=[OURS])), limit=EVENTS).events
    return {
        "blocks": {
            each["name"]: {"id": each["id"], "type": each["block_type"]["slug"], "values": each["data"]}
            for each in blocks
        },
        "deployments": {
            f"{flows[each.flow_id]}/{each.name}": {
                "id": str(each.id),
                "paused": each.paused,
                "schedules": [
                    {"slug": one.slug, "active": one.active, "schedule": one.schedule.model_dump(mode="json")}
                    for one in each.schedules
                ],
                "tags": sorted(each.tags),
                "parameters": each.parameters,
                "work_pool": each.work_pool_name,
                "concurrency": each.global_concurrency_limit.limit if each.global_concurrency_limit else None,
            }
            for each in deployments
        },
        "automations": {each.name: {"id": str(each.id), "enabled": each.enabled} for each in automations},
        "artifacts": sorted(each.key for each in artifacts if each.key),
        "events": {
            each.event: {"labels": sorted(each.resource.keys()), "payload": sorted(each.payload)} for each in events
        },
        "work_pools": sorted(each.name for each in pools),
    }


if __name__ == "__main__":
    prefect_api.load(load_settings().home)
    json.dump(facts(), sys.stdout, indent=1, sort_keys=True)
