"""The forms of the Prefect UI offer the saved connectors by name.

A flow's parameter is a name and no list; the list is written into the stored schema of its deployments. A name that is
not in it, of a connector that was saved a moment ago, is still taken: the flow itself says when nothing is saved so.
"""

from collections.abc import Collection
from copy import deepcopy
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse

from flows.deploy.product_flows import FLOWS, backfill_flow, poll_flow
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import all_pages, prefect_client

EVERY_PRODUCT = "test-connection"


def update_choices(connectors: dict[str, Connector], unusable: Collection[str] = ()) -> None:
    """Let the forms of polls, backfills and connection tests offer these connectors; again, nothing changes.

    Connection tests also those that are saved but cannot be used: the test says what is wrong with them.
    Not those of deployments that have their connector already.
    """
    offered = _names_by_flow(connectors, unusable)
    with prefect_client() as client:
        deployments = deployments_of(client, *offered)
        of_flow = {flow.id: offered[flow.name] for flow in client.read_flows(flow_filter=_flows_named(*offered))}
        for deployment in deployments:
            names = of_flow.get(deployment.flow_id)  # None: removed since
            if names is None or deployment.parameters.get("connector"):
                continue
            schema = with_choices(deployment.parameter_openapi_schema or {}, names)
            if schema != deployment.parameter_openapi_schema or deployment.enforce_parameter_schema:
                change = DeploymentUpdate(parameter_openapi_schema=schema, enforce_parameter_schema=False)
                client.update_deployment(deployment.id, change)


def _flows_named(*flows: str) -> FlowFilter:
    return FlowFilter(name=FlowFilterName(any_=list(flows)))


def deployments_of(client: SyncPrefectClient, *flows: str) -> list[DeploymentResponse]:
    """All deployments of the flows of these names, which come in pages."""
    named = _flows_named(*flows)
    return all_pages(lambda limit, offset: client.read_deployments(flow_filter=named, limit=limit, offset=offset))


def with_choices(schema: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The form's schema, its field `connector` a list of these names; without names a text field."""
    changed = deepcopy(schema)
    field = changed.get("properties", {}).get("connector", {})
    field.pop("enum", None)
    if names and field:
        field["enum"] = names
    return changed


def _names_by_flow(connectors: dict[str, Connector], unusable: Collection[str]) -> dict[str, list[str]]:
    """Which names the form of which flow offers: a poll and a backfill those of their product."""
    offered = {EVERY_PRODUCT: sorted({*connectors, *unusable})}
    for product in FLOWS:
        names = sorted(name for name, each in connectors.items() if each.product == product)
        offered |= {flow.name: names for flow in (poll_flow(product), backfill_flow(product)) if flow}
    return offered
