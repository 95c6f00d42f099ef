"""How saved connectors fare: the switch of the schedule, their health, and whose data is of another tenant."""

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
    """How a connector fares, as far as server and tables tell."""

    polling: bool | None = None
    state: str | None = None
    last_success_at: datetime | None = None
    lag_seconds: int | None = None


def connector_statuses(found: dict[str, Connector]) -> dict[str, ConnectorStatus]:
    """Its schedule's switch and its health, by name. The switch is the one of this moment."""
    store, switches = open_store(load_settings()), connector_deployments.schedule_switches()
    health = {row["connector"]: row for row in lookups.health(store)} if store.is_published() else {}
    fare = {}
    for name, each in found.items():
        row, polling = health.get(name, {}), switches.get(each.connector_id) if each.connector_id else None
        state = row.get("state")
        if state not in (None, "never_run") and polling is False:
            state = "off"
        fare[name] = ConnectorStatus(polling, state, row.get("last_success_at"), row.get("lag_seconds"))
    return fare


def wrong_tenants(found: dict[str, Connector]) -> dict[str, str]:
    """Those that are saved for another tenant than they have brought records for: what to do about it, by name."""
    return registry.other_tenants(open_store(load_settings()), [source_of(name, each) for name, each in found.items()])
