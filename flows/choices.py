"""The forms of the Prefect UI offer the saved connectors by name.

A flow's parameter is a name and no list; the list is written into the stored schema of its deployments. A name that is
not in it, of a connector that was saved a moment ago, is still taken: the flow itself says when nothing is saved so.
"""

import importlib
from copy import deepcopy
from typing import Any

from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from tasks.connector import Connector
from tasks.connectors import prefect_client, products

EVERY_PRODUCT = "test-connection"


def offer(connectors: dict[str, Connector]) -> None:
    """Let the forms of backfills and connection tests offer these connectors; a second time nothing changes."""
    with prefect_client() as client:
        for flow, names in _names_by_flow(connectors).items():
            for deployment in client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow]))):
                schema = with_choices(deployment.parameter_openapi_schema or {}, names)
                if schema != deployment.parameter_openapi_schema or deployment.enforce_parameter_schema:
                    change = DeploymentUpdate(parameter_openapi_schema=schema, enforce_parameter_schema=False)
                    client.update_deployment(deployment.id, change)


def with_choices(schema: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The form's schema, its field `connector` a list of these names; without names a text field."""
    changed = deepcopy(schema)
    field = changed.get("properties", {}).get("connector", {})
    field.pop("enum", None)
    if names and field:
        field["enum"] = names
    return changed


def _names_by_flow(connectors: dict[str, Connector]) -> dict[str, list[str]]:
    """Which names the form of which flow offers: a backfill those of its product."""
    offered = {EVERY_PRODUCT: sorted(connectors)}
    for product in products():
        backfill = getattr(importlib.import_module(f"flows.{product}"), "backfill", None)
        if backfill is not None:
            offered[backfill.name] = sorted(name for name, each in connectors.items() if each.product == product)
    return offered
