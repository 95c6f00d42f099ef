"""One deployment for each saved connector, with the schedule that polls it.

It is a copy of the product's deployment in prefect.yaml (work pool, pull steps, limit) with the connector's name as a
parameter. So each flow is declared once, and the workers of prefect.yaml's deployments run these as well.
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
from tasks.formatting import format_interval
from tasks.saved_connectors import saved_names

CONNECTOR_TAG = "connector"  # marks the deployments created here; a second tag holds the connector's id
TEMPLATE_FIELDS = (
    "path", "entrypoint", "pull_steps", "work_pool_name", "work_queue_name", "job_variables", "concurrency_options",
)  # fmt: skip

Change = Literal["created", "renamed", "switched on", "changed", "unchanged", "removed"]


class ConnectorDeployment(NamedTuple):
    """The deployment of one connector, and how it was changed."""

    connector: str
    connector_id: UUID
    deployment: str
    every: timedelta
    polling: bool
    """whether its schedule is switched on"""
    done: Change
    untested: bool = False
    """whether it waits for the first successful connection test"""

    def summary(self) -> str:
        """The change, and whether the connector is polled, as a sentence."""
        if self.done == "removed":
            return f"Deployment {self.deployment} removed."
        polled = f"every {format_interval(self.every)}"
        if not self.polling:
            polled += ", switched off" + (" until a connection test passes" if self.untested else "")
        return f"Deployment {self.deployment} {self.done}: polled {polled}."


class ProductDeployments(NamedTuple):
    """The deployments of one product on the server."""

    flow: Flow[Any, Any]
    template: DeploymentResponse | None
    """the one that prefect.yaml declares"""
    of_connectors: list[DeploymentResponse]


def apply_deployments(connectors: dict[str, Connector], unusable: Collection[str]) -> list[ConnectorDeployment]:
    """Create, update and delete deployments to match all saved connectors.

    The deployments of `unusable` connectors are not changed. A schedule is switched on once, after the first successful
    connection test; from then on only people switch it. Raises NotDeployed if prefect.yaml has not been deployed.
    """
    with prefect_client() as client:
        deployed = {product: read_deployments(client, product) for product in FLOWS}
        usable = _without_reserved_names(connectors, deployed)
        polls = [
            _apply_connector(client, name, connector, deployed[connector.product]) for name, connector in usable.items()
        ]
        return polls + _delete_orphans(client, deployed, polls, unusable)


def schedule_switches() -> dict[UUID, bool]:
    """Whether the schedule is switched on, for each connector that has a deployment."""
    with prefect_client() as client:
        deployments = [found for product in FLOWS for found in read_deployments(client, product).of_connectors]
    return {_connector_id(deployment): _is_switched_on(deployment) for deployment in deployments}


def _without_reserved_names(
    connectors: dict[str, Connector], deployed: dict[str, ProductDeployments]
) -> dict[str, Connector]:
    """Without those whose deployment would replace one of prefect.yaml."""
    reserved = {found.template.name for found in deployed.values() if found.template}
    return {name: connector for name, connector in connectors.items() if name not in reserved}


def _delete_orphans(
    client: SyncPrefectClient,
    deployed: dict[str, ProductDeployments],
    polls: list[ConnectorDeployment],
    unusable: Collection[str],
) -> list[ConnectorDeployment]:
    """Delete deployments without a connector of that name; returns those of removed connectors.

    The others belong to a renamed connector.
    """
    current, saved_ids = {poll.deployment for poll in polls}, {poll.connector_id for poll in polls}
    removed = []
    for product, orphan in _find_orphans(deployed, current, unusable):
        client.delete_deployment(orphan.id)
        if (connector_id := _connector_id(orphan)) not in saved_ids:
            full_name = f"{deployed[product].flow.name}/{orphan.name}"
            removed.append(ConnectorDeployment(orphan.name, connector_id, full_name, timedelta(), False, "removed"))
    return removed


def _find_orphans(
    deployed: dict[str, ProductDeployments], current: set[str], unusable: Collection[str]
) -> list[tuple[str, DeploymentResponse]]:
    """By product. The names are read again, since a connector may have been saved after the others were listed."""
    orphans = [
        (product, deployment)
        for product, (flow, _, of_connectors) in deployed.items()
        for deployment in of_connectors
        if f"{flow.name}/{deployment.name}" not in current and deployment.name not in unusable
    ]
    saved = {(cls.product, name) for name, cls in saved_names().items()} if orphans else set()
    return [(product, deployment) for product, deployment in orphans if (product, deployment.name) not in saved]


def read_deployments(client: SyncPrefectClient, product: str) -> ProductDeployments:
    flow = poll_flow(product)
    found = deployments_of(client, flow.name)
    of_connectors = [deployment for deployment in found if CONNECTOR_TAG in deployment.tags]
    others = [deployment for deployment in found if CONNECTOR_TAG not in deployment.tags]
    templates = (deployment for deployment in others if not deployment.parameters.get("connector"))
    return ProductDeployments(flow, next(templates, None), of_connectors)


def _connector_id(deployment: DeploymentResponse) -> UUID:
    return UUID(next(tag for tag in deployment.tags if tag.startswith("id:")).removeprefix("id:"))


def _is_switched_on(deployment: DeploymentResponse) -> bool:
    return not deployment.paused and any(schedule.active for schedule in deployment.schedules)


def _apply_connector(
    client: SyncPrefectClient, name: str, connector: Connector, deployed: ProductDeployments
) -> ConnectorDeployment:
    flow, template, of_connectors = deployed
    if template is None:
        raise NotDeployed(
            f"{api_location().capitalize()} does not have this project's deployments yet. Run "
            "`attachment-alerts serve`, or `prefect deploy --all` in the checkout."
        )
    assert connector.connector_id is not None  # noqa: S101 - every loaded connector has one
    own = [deployment for deployment in of_connectors if _connector_id(deployment) == connector.connector_id]
    present = next((deployment for deployment in own if deployment.name == name), None)
    fields = _desired_fields(name, connector, template)
    done: Change
    if present:
        done = _update(client, present, fields, connector)
    else:
        before = next(iter(own), None)  # under the connector's former name
        schedules = copy_schedules(before, connector) if before else [new_schedule(connector)]
        paused = bool(before and before.paused)
        client.create_deployment(template.flow_id, name, schedules=schedules, paused=paused, **fields)
        done = "renamed" if before else "created"
    full_name = f"{flow.name}/{name}"
    if present is None or done != "unchanged":
        present = client.read_deployment_by_name(full_name)
    untested = any(schedule.slug == UNTESTED for schedule in present.schedules)
    return ConnectorDeployment(
        name, connector.connector_id, full_name, connector.every, _is_switched_on(present), done, untested
    )


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
) -> Change:
    """Send only fields that differ, so that the others stay unchanged, above all the switch."""
    limit = deployment.global_concurrency_limit
    present = {field: getattr(deployment, field) for field in fields if field != "concurrency_limit"}
    present |= {"tags": sorted(deployment.tags), "concurrency_limit": limit.limit if limit else None}
    changes = {field: value for field, value in fields.items() if present[field] != value}
    # A schedule that a person has deleted stays deleted.
    schedule = next((schedule for schedule in deployment.schedules if schedule.slug in (POLL, UNTESTED)), None)
    patch = schedule_change(schedule, connector) if schedule else None
    if patch:
        changes["schedules"] = [patch]
    if not changes:
        return "unchanged"
    try:
        client.update_deployment(deployment.id, DeploymentUpdate(**changes))
    except httpx.HTTPStatusError as refused:
        # A concurrent apply has replaced the schedule since it was read here. Update what still differs.
        now = client.read_deployment(deployment.id)
        if refused.response.status_code != httpx.codes.UNPROCESSABLE_ENTITY or now.schedules == deployment.schedules:
            raise
        return _update(client, now, fields, connector)
    return "switched on" if patch and patch.active else "changed"
