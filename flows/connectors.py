"""Flows for saved connectors: apply them, test one."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs import connector_run


@flow(name="connectors-apply", flow_run_name="apply connectors")
def connectors_apply() -> State[Any]:
    """Create, update and delete the deployments that poll the saved connectors.

    Run it after a connector was saved, changed or removed in the UI. Polling is switched on automatically once the
    connection test has passed; after that the switch of the schedule is yours.
    """
    return connector_run.run_apply()


@flow(name="test-connection", flow_run_name="{connector} connection test")
def test_connection(connector: str) -> State[Any]:
    """Test the connection check by check, and show what to do about each failed check.

    Polling begins after the first successful test.

    Args:
        connector: Which account: the name of its saved connector.
    """
    return connector_run.run_connection_test(connector)
