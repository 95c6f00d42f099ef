"""Offer the saved connectors by name in the forms of the Prefect UI.

The names are stored in the parameter schema of the deployments, as choices of the parameter `connector`. Other names
are accepted as well, for a connector that was saved a moment ago: the flow itself reports an unknown name.
"""

from collections.abc import Collection
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse

from flows.deploy.product_flows import FLOWS, backfill_flow, poll_flow
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import all_pages, prefect_client

CONNECTION_TEST = "test-connection"


def update_choices(connectors: dict[str, Connector], unusable: Collection[str] = ()) -> None:
    """Offer these connectors in the forms of polls, backfills and connection tests.

    Connection tests also offer `unusable` ones, and report their problem. The deployment of a single connector is not
    changed.
    """
    choices = _choices_by_flow(connectors, unusable)
    with prefect_client() as client:
        for flow, names in choices.items():
            for deployment in deployments_of(client, flow):
                if not deployment.parameters.get("connector"):
                    _update(client, deployment, names)


def deployments_of(client: SyncPrefectClient, flow: str) -> list[DeploymentResponse]:
    """All deployments of the flow of this name."""
    named = FlowFilter(name=FlowFilterName(any_=[flow]))
    return all_pages(lambda limit, offset: client.read_deployments(flow_filter=named, limit=limit, offset=offset))


def with_choices(schema: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A copy of a parameter schema with these choices for `connector`; without names it is a text field."""
    fields = schema.get("properties", {})
    if "connector" not in fields:
        return schema
    field = {key: value for key, value in fields["connector"].items() if key != "enum"}
    choices = {"enum": names} if names else {}
    return schema | {"properties": fields | {"connector": field | choices}}


def _update(client: SyncPrefectClient, deployment: DeploymentResponse, names: list[str]) -> None:
    schema = with_choices(deployment.parameter_openapi_schema or {}, names)
    if schema != deployment.parameter_openapi_schema or deployment.enforce_parameter_schema:
        change = DeploymentUpdate(parameter_openapi_schema=schema, enforce_parameter_schema=False)
        client.update_deployment(deployment.id, change)


def _choices_by_flow(connectors: dict[str, Connector], unusable: Collection[str]) -> dict[str, list[str]]:
    """Polls and backfills offer the connectors of their product, connection tests offer all."""
    choices = {CONNECTION_TEST: sorted({*connectors, *unusable})}
    for product in FLOWS:
        names = sorted(name for name, connector in connectors.items() if connector.product == product)
        choices |= {flow.name: names for flow in (poll_flow(product), backfill_flow(product)) if flow}
    return choices
