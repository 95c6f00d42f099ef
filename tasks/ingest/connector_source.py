"""A saved connector as the store knows it."""

from typing import Literal

from prefect.context import FlowRunContext

from tasks.connectors.base import Connector
from tasks.errors import SettingsError
from tasks.ingest import registry
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store


def source_of(name: str, connector: Connector) -> Source:
    """What the store has to know of a saved connector."""
    if connector.connector_id is None:
        raise SettingsError(f"The connector {name!r} was never saved. Save it first.")
    return Source(
        connector.connector_id,
        name,
        connector.product,
        connector.tenant,
        int(connector.every.total_seconds()) // 60,
        connector.link_template,
        connector.key_expires_at,
        connector.first_look_back,
        _is_scheduled(),
    )


def refuse_other_tenant(name: str, connector: Connector) -> None:
    """Raises SettingsError where it has brought something for another tenant: nothing crosses tenants."""
    if connector.connector_id is None:  # it has brought nothing yet
        return
    for sentence in registry.other_tenants(open_store(load_settings()), [source_of(name, connector)]).values():
        raise SettingsError(sentence)


def _is_scheduled() -> Literal[True] | None:
    """A run that a schedule has made tells that the schedule is on; others tell nothing about it."""
    context = FlowRunContext.get()
    return True if context and context.flow_run and context.flow_run.auto_scheduled else None
