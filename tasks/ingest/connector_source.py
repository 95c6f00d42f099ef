"""Describes a saved connector to the store."""

from tasks.connectors.base import Connector
from tasks.connectors.polled import PolledConnector
from tasks.errors import SettingsError
from tasks.ingest import registry
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store


def source_of(name: str, connector: Connector, *, scheduled: bool = False) -> Source:
    """`scheduled`: a schedule started the present run, so the schedule is switched on; else its switch is unknown."""
    if connector.connector_id is None:
        raise SettingsError(f"The connector {name!r} is not saved. Save it first.")
    return Source(
        connector.connector_id,
        name,
        connector.product,
        connector.tenant,
        int(connector.every.total_seconds()) // 60,
        connector.link_template,
        connector.key_expires_at,
        connector.first_look_back,
        polling=True if scheduled else None,
        no_verdict=connector.no_verdict if isinstance(connector, PolledConnector) else None,
    )


def refuse_other_tenant(name: str, connector: Connector) -> None:
    """Raises SettingsError if the connector's data belongs to another tenant: nothing crosses tenants."""
    if connector.connector_id is None:  # it has no data yet
        return
    messages = registry.other_tenants(open_store(load_settings()), [source_of(name, connector)])
    if messages:
        raise SettingsError(messages[name])
