"""Status of saved connectors: the switch of the schedule, their health, and whether they belong to their tenant."""

from datetime import datetime
from typing import NamedTuple

from flows.deploy import connector_deployments
from tasks.connectors.base import Connector
from tasks.ingest import registry
from tasks.ingest.connector_source import source_of
from tasks.queries import lookups
from tasks.settings import load_settings
from tasks.store.factory import open_store


class ConnectorStatus(NamedTuple):
    """None where the server or the tables have no value."""

    polling: bool | None = None
    state: str | None = None
    last_success_at: datetime | None = None
    lag_seconds: int | None = None


def connector_statuses(connectors: dict[str, Connector]) -> dict[str, ConnectorStatus]:
    """By name. The switch is read from the server now; the tables learn it from the next apply."""
    store, switches = open_store(load_settings()), connector_deployments.schedule_switches()
    health = {row["connector"]: row for row in lookups.health(store)} if store.is_published() else {}
    statuses = {}
    for name, connector in connectors.items():
        row = health.get(name, {})
        polling = switches.get(connector.connector_id) if connector.connector_id else None
        state = row.get("state")
        if state not in (None, "never_run") and polling is False:
            state = "off"
        statuses[name] = ConnectorStatus(polling, state, row.get("last_success_at"), row.get("lag_seconds"))
    return statuses


def wrong_tenants(connectors: dict[str, Connector]) -> dict[str, str]:
    """For each connector whose stored data belongs to another tenant: what to do, by name."""
    sources = [source_of(name, connector) for name, connector in connectors.items()]
    return registry.other_tenants(open_store(load_settings()), sources)
