"""One deployment for each saved connector, with a schedule that polls it: made, changed and removed with the connector.

It is a copy of the product's own deployment in prefect.yaml (work pool, pull steps, limit), with the connector's name
as parameter. So whatever runs the deployments of prefect.yaml runs these as well, and all of it is declared once.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse

from flows.deploy.parameter_choices import deployments_of, with_choices
from flows.deploy.product_flows import FLOWS, poll_flow
from flows.deploy.schedules import POLL, UNTESTED, copy_schedules, new_schedule, schedule_change
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import NotDeployed
from tasks.formatting import duration
from tasks.saved_connectors import saved_names

CONNECTOR_TAG = "connector"  # the tag of what is made here; the connector's id is another one
TEMPLATE_FIELDS = (
    "path", "entrypoint", "pull_steps", "work_pool_name", "work_queue_name", "job_variables", "concurrency_options",
)  # fmt: skip
REFUSED = 422

Done = Literal["made", "renamed", "switched on", "changed", "unchanged", "removed"]


class Poll(NamedTuple):
    """The deployment of one connector, and what was done about it."""

    connector: str
    connector_id: UUID
    deployment: str
    every: timedelta
    polling: bool
    """whether its schedule is switched on"""
    done: Done
    untested: bool = False
    """whether it waits for its first connection test to pass"""


class ProductDeployments(NamedTuple):
    """What the server has of one product: the deployment to copy, and the copies."""

    flow: Flow[Any, Any]
    original: DeploymentResponse | None
    copies: list[DeploymentResponse]


def apply_deployments(connectors: dict[str, Connector], unusable: Collection[str]) -> list[Poll]:
    """Make the deployments fit these connectors, all that are saved; a second time nothing changes.

    The deployments of those that are `unusable` as they were filled in stay as they are.
    The switch of a schedule is set once, when a connection test has passed. From then on it is left to people.
    Raises NotDeployed where the server does not know prefect.yaml yet.
    """
    with prefect_client() as client:
        deployed = {product: _read_deployments(client, product) for product in FLOWS}
        usable = _without_reserved_names(connectors, deployed)
        polls = [_apply_one(client, name, each, deployed[each.product]) for name, each in usable.items()]
        return polls + _delete_orphans(client, deployed, polls, unusable)


def _without_reserved_names(
    connectors: dict[str, Connector], deployed: dict[str, ProductDeployments]
) -> dict[str, Connector]:
    """Those whose deployment would not take the place of one that prefect.yaml declares."""
    taken = {original.name for _, original, _ in deployed.values() if original}
    return {name: each for name, each in connectors.items() if name not in taken}


def _delete_orphans(
    client: SyncPrefectClient, deployed: dict[str, ProductDeployments], polls: list[Poll], unusable: Collection[str]
) -> list[Poll]:
    """Remove what belongs to no connector under its name any more; of a rename nothing has to be told."""
    kept, alive = {poll.deployment for poll in polls}, {poll.connector_id for poll in polls}
    removed = []
    for product, copy in _find_orphans(deployed, kept, unusable):
        client.delete_deployment(copy.id)
        if (connector_id := _connector_id(copy)) not in alive:
            full_name = f"{deployed[product].flow.name}/{copy.name}"
            removed.append(Poll(copy.name, connector_id, full_name, timedelta(), False, "removed"))
    return removed


def _find_orphans(
    deployed: dict[str, ProductDeployments], kept: set[str], unusable: Collection[str]
) -> list[tuple[str, DeploymentResponse]]:
    """Copies, by product, of connectors that are saved no more; asked again, for one may have been saved since."""
    found = [
        (product, copy)
        for product, (flow, _, copies) in deployed.items()
        for copy in copies
        if f"{flow.name}/{copy.name}" not in kept and copy.name not in unusable
    ]
    saved = {(kind.product, name) for name, kind in saved_names().items()} if found else set()
    return [(product, copy) for product, copy in found if (product, copy.name) not in saved]


def schedule_switches() -> dict[UUID, bool]:
    """Which connectors have a deployment, and whether its schedule is switched on."""
    with prefect_client() as client:
        copies = [copy for product in FLOWS for copy in _read_deployments(client, product).copies]
    return {_connector_id(copy): _switched_on(copy) for copy in copies}


def _read_deployments(client: SyncPrefectClient, product: str) -> ProductDeployments:
    flow = poll_flow(product)
    found = deployments_of(client, flow.name)
    copies = [each for each in found if CONNECTOR_TAG in each.tags]
    original = next(
        (each for each in found if CONNECTOR_TAG not in each.tags and not each.parameters.get("connector")), None
    )
    return ProductDeployments(flow, original, copies)


def _connector_id(copy: DeploymentResponse) -> UUID:
    return UUID(next(tag for tag in copy.tags if tag.startswith("id:")).removeprefix("id:"))


def _switched_on(copy: DeploymentResponse) -> bool:
    return not copy.paused and any(schedule.active for schedule in copy.schedules)


def _apply_one(client: SyncPrefectClient, name: str, connector: Connector, deployed: ProductDeployments) -> Poll:
    flow, original, copies = deployed
    if original is None:
        raise NotDeployed(
            f"{api_location().capitalize()} does not know the flows of this project yet. Run `attachment-alerts serve`, "
            "or `prefect deploy --all` in the checkout."
        )
    assert connector.connector_id is not None  # noqa: S101 - whatever is listed has one
    mine = [copy for copy in copies if _connector_id(copy) == connector.connector_id]
    copy = next((each for each in mine if each.name == name), None)
    wanted = _desired_fields(flow, name, connector, original)
    done: Done
    if copy is None:
        before = mine[0] if mine else None
        schedules = copy_schedules(before, connector) if before else [new_schedule(connector)]
        copy = _create(client, name, original, wanted, schedules, paused=bool(before and before.paused))
        done = "renamed" if before else "made"
    else:
        done = _update(client, copy, wanted, connector)
        copy = client.read_deployment(copy.id) if done != "unchanged" else copy
    full_name = f"{flow.name}/{name}"
    untested = any(schedule.slug == UNTESTED for schedule in copy.schedules)
    return Poll(name, connector.connector_id, full_name, connector.every, _switched_on(copy), done, untested)


def _desired_fields(
    flow: Flow[Any, Any], name: str, connector: Connector, original: DeploymentResponse
) -> dict[str, Any]:
    """Everything of the copy but its schedule."""
    limit = original.global_concurrency_limit
    return {field: getattr(original, field) for field in TEMPLATE_FIELDS} | {
        "description": f"Polls {name}. Made from the saved connector: change its polling frequency there, and switch "
        "polling on and off with the schedule's own switch here.",
        "tags": sorted({*original.tags, CONNECTOR_TAG, f"id:{connector.connector_id}"}),
        "parameters": {**original.parameters, "connector": name},
        "parameter_openapi_schema": with_choices(original.parameter_openapi_schema or {}, [name]),
        "enforce_parameter_schema": True,
        "concurrency_limit": limit.limit if limit else None,
    }


def _create(
    client: SyncPrefectClient,
    name: str,
    original: DeploymentResponse,
    wanted: dict[str, Any],
    schedules: list[DeploymentScheduleCreate],
    *,
    paused: bool,
) -> DeploymentResponse:
    made = client.create_deployment(original.flow_id, name, schedules=schedules, paused=paused, **wanted)
    return client.read_deployment(made)


def _update(client: SyncPrefectClient, copy: DeploymentResponse, wanted: dict[str, Any], connector: Connector) -> Done:
    """Send what differs, and nothing else: what is not sent stays as it is, the switch above all."""
    limit = copy.global_concurrency_limit
    present = {field: getattr(copy, field) for field in wanted if field != "concurrency_limit"}
    present |= {"tags": sorted(copy.tags), "concurrency_limit": limit.limit if limit else None}
    changes = {field: value for field, value in wanted.items() if present[field] != value}
    schedule = next((each for each in copy.schedules if each.slug in (POLL, UNTESTED)), None)
    patch = schedule_change(schedule, connector) if schedule else None  # one that a person has deleted stays deleted
    if patch:
        changes["schedules"] = [patch]
    if not changes:
        return "unchanged"
    try:
        client.update_deployment(copy.id, DeploymentUpdate(**changes))
    except httpx.HTTPStatusError as refused:
        # Two applies at once: the other one has replaced the schedule that was read here. What is left to do?
        now = client.read_deployment(copy.id)
        if refused.response.status_code != REFUSED or now.schedules == copy.schedules:
            raise
        return _update(client, now, wanted, connector)
    return "switched on" if patch and patch.active else "changed"


def says(poll: "Poll") -> str:
    """What was done about the deployment of a connector, and whether it is polled."""
    if poll.done == "removed":
        return f"Its deployment {poll.deployment} is removed."
    polled = f"every {duration(poll.every)}"
    if not poll.polling:
        polled += ", switched off" + (" until a connection test passes" if poll.untested else "")
    return f"Deployment {poll.deployment} {poll.done}: polled {polled}."
