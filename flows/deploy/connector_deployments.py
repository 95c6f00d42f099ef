"""One deployment per saved connector, with a schedule that polls it: created, updated and deleted with the connector.

Its template is the product's own deployment of prefect.yaml (work pool, pull steps, limit), plus the connector's name
as parameter. So every deployment is declared once, and whatever runs those of prefect.yaml runs these as well.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse

from flows.deploy.parameter_choices import deployments_of, with_choices
from flows.deploy.product_flows import FLOWS, poll_flow
from flows.deploy.schedules import POLL, UNTESTED, copy_schedules, new_schedule, schedule_change
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import NotDeployed
from tasks.formatting import duration
from tasks.saved_connectors import saved_names

CONNECTOR_TAG = "connector"  # marks the deployments created here; a second tag holds the connector's id
TEMPLATE_FIELDS = (
    "path", "entrypoint", "pull_steps", "work_pool_name", "work_queue_name", "job_variables", "concurrency_options",
)  # fmt: skip

Done = Literal["made", "renamed", "switched on", "changed", "unchanged", "removed"]


class Poll(NamedTuple):
    """The deployment of one connector, and what was done to it."""

    connector: str
    connector_id: UUID
    deployment: str
    every: timedelta
    polling: bool
    """whether its schedule is switched on"""
    done: Done
    untested: bool = False
    """whether it waits for the first connection test that passes"""

    def summary(self) -> str:
        """What was done, and whether the connector is polled, as a sentence."""
        if self.done == "removed":
            return f"Deployment {self.deployment} removed."
        polled = f"every {duration(self.every)}"
        if not self.polling:
            polled += ", switched off" + (" until a connection test passes" if self.untested else "")
        return f"Deployment {self.deployment} {self.done}: polled {polled}."


class ProductDeployments(NamedTuple):
    """The deployments of one product on the server."""

    flow: Flow[Any, Any]
    template: DeploymentResponse | None
    """the one that prefect.yaml declares"""
    of_connectors: list[DeploymentResponse]


def apply_deployments(connectors: dict[str, Connector], unusable: Collection[str]) -> list[Poll]:
    """Create, update and delete deployments to match these connectors, which are all that are saved.

    The deployments of `unusable` connectors are left alone. A schedule is switched on once, after the first connection
    test that passes; from then on its switch belongs to people. Raises NotDeployed if the server lacks prefect.yaml.
    """
    with prefect_client() as client:
        deployed = {product: read_deployments(client, product) for product in FLOWS}
        usable = _without_reserved_names(connectors, deployed)
        polls = [_apply_one(client, name, each, deployed[each.product]) for name, each in usable.items()]
        return polls + _delete_orphans(client, deployed, polls, unusable)


def schedule_switches() -> dict[UUID, bool]:
    """Whether the schedule is switched on, for each connector that has a deployment."""
    with prefect_client() as client:
        found = [each for product in FLOWS for each in read_deployments(client, product).of_connectors]
    return {_connector_id(each): _is_switched_on(each) for each in found}


def _without_reserved_names(
    connectors: dict[str, Connector], deployed: dict[str, ProductDeployments]
) -> dict[str, Connector]:
    """Without those whose deployment would replace one that prefect.yaml declares."""
    reserved = {each.template.name for each in deployed.values() if each.template}
    return {name: each for name, each in connectors.items() if name not in reserved}


def _delete_orphans(
    client: SyncPrefectClient, deployed: dict[str, ProductDeployments], polls: list[Poll], unusable: Collection[str]
) -> list[Poll]:
    """Delete deployments without a connector of that name; only those of removed connectors are reported."""
    kept, alive = {poll.deployment for poll in polls}, {poll.connector_id for poll in polls}
    removed = []
    for product, orphan in _find_orphans(deployed, kept, unusable):
        client.delete_deployment(orphan.id)
        if (connector_id := _connector_id(orphan)) not in alive:
            full_name = f"{deployed[product].flow.name}/{orphan.name}"
            removed.append(Poll(orphan.name, connector_id, full_name, timedelta(), False, "removed"))
    return removed


def _find_orphans(
    deployed: dict[str, ProductDeployments], kept: set[str], unusable: Collection[str]
) -> list[tuple[str, DeploymentResponse]]:
    """By product. The names are read again, since a connector may have been saved after the others were listed."""
    found = [
        (product, each)
        for product, (flow, _, of_connectors) in deployed.items()
        for each in of_connectors
        if f"{flow.name}/{each.name}" not in kept and each.name not in unusable
    ]
    saved = {(cls.product, name) for name, cls in saved_names().items()} if found else set()
    return [(product, each) for product, each in found if (product, each.name) not in saved]


def read_deployments(client: SyncPrefectClient, product: str) -> ProductDeployments:
    flow = poll_flow(product)
    found = deployments_of(client, flow.name)
    of_connectors = [each for each in found if CONNECTOR_TAG in each.tags]
    others = (each for each in found if CONNECTOR_TAG not in each.tags and not each.parameters.get("connector"))
    return ProductDeployments(flow, next(others, None), of_connectors)


def _connector_id(deployment: DeploymentResponse) -> UUID:
    return UUID(next(tag for tag in deployment.tags if tag.startswith("id:")).removeprefix("id:"))


def _is_switched_on(deployment: DeploymentResponse) -> bool:
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)


def _apply_one(client: SyncPrefectClient, name: str, connector: Connector, deployed: ProductDeployments) -> Poll:
    flow, template, of_connectors = deployed
    if template is None:
        raise NotDeployed(
            f"{api_location().capitalize()} does not have the flows of this project yet. Run "
            "`attachment-alerts serve`, or `prefect deploy --all` in the checkout."
        )
    assert connector.connector_id is not None  # noqa: S101 - every loaded connector has one
    own = [each for each in of_connectors if _connector_id(each) == connector.connector_id]
    present = next((each for each in own if each.name == name), None)
    fields = _desired_fields(name, connector, template)
    done: Done
    if present:
        done = _update(client, present, fields, connector)
    else:
        before = next(iter(own), None)  # under the name that the connector had
        schedules = copy_schedules(before, connector) if before else [new_schedule(connector)]
        paused = bool(before and before.paused)
        client.create_deployment(template.flow_id, name, schedules=schedules, paused=paused, **fields)
        done = "renamed" if before else "made"
    full_name = f"{flow.name}/{name}"
    if present is None or done != "unchanged":
        present = client.read_deployment_by_name(full_name)
    untested = any(schedule.slug == UNTESTED for schedule in present.schedules)
    return Poll(name, connector.connector_id, full_name, connector.every, _is_switched_on(present), done, untested)


def _desired_fields(name: str, connector: Connector, template: DeploymentResponse) -> dict[str, Any]:
    """All fields of the connector's deployment except its schedule."""
    limit = template.global_concurrency_limit
    return {field: getattr(template, field) for field in TEMPLATE_FIELDS} | {
        "description": f"Polls {name}. Created from the saved connector: change the polling frequency there, and "
        "switch polling on and off with the schedule's own switch here.",
        "tags": sorted({*template.tags, CONNECTOR_TAG, f"id:{connector.connector_id}"}),
        "parameters": {**template.parameters, "connector": name},
        "parameter_openapi_schema": with_choices(template.parameter_openapi_schema or {}, [name]),
        "enforce_parameter_schema": True,
        "concurrency_limit": limit.limit if limit else None,
    }


def _update(
    client: SyncPrefectClient, deployment: DeploymentResponse, fields: dict[str, Any], connector: Connector
) -> Done:
    """Send only what differs: what is not sent stays as it is, above all the switch."""
    limit = deployment.global_concurrency_limit
    present = {field: getattr(deployment, field) for field in fields if field != "concurrency_limit"}
    present |= {"tags": sorted(deployment.tags), "concurrency_limit": limit.limit if limit else None}
    changes = {field: value for field, value in fields.items() if present[field] != value}
    # A schedule that a person has deleted stays deleted.
    schedule = next((each for each in deployment.schedules if each.slug in (POLL, UNTESTED)), None)
    patch = schedule_change(schedule, connector) if schedule else None
    if patch:
        changes["schedules"] = [patch]
    if not changes:
        return "unchanged"
    try:
        client.update_deployment(deployment.id, DeploymentUpdate(**changes))
    except httpx.HTTPStatusError as refused:
        # A concurrent apply has replaced the schedule since it was read here. Update what is still different.
        now = client.read_deployment(deployment.id)
        if refused.response.status_code != httpx.codes.UNPROCESSABLE_ENTITY or now.schedules == deployment.schedules:
            raise
        return _update(client, now, fields, connector)
    return "switched on" if patch and patch.active else "changed"
