"""Apply the saved connectors: deployments, forms and pages on the Prefect server, and rows in the store."""

from typing import NamedTuple

from flows.artifacts.dashboard_writer import refresh_health, refresh_urgent_if_stale
from flows.deploy import connector_deployments, zombie_runs
from flows.deploy.parameter_choices import update_choices
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import prefect_client
from tasks.ingest import registry
from tasks.ingest.connector_source import source_of
from tasks.saved_connectors import adopt_new, load_all, register_block_types, saved_names
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store


class ApplyResult(NamedTuple):
    """The deployments of the saved connectors, and the connectors without one."""

    polls: list[connector_deployments.Poll]
    unusable: dict[str, str]
    """by name: why it cannot be polled, and what to do"""


def apply_connectors() -> ApplyResult:
    """Create, update and delete deployments to match the saved connectors, and update the tables and pages.

    Also registers the forms and the zombie automation with a new server.
    """
    register_block_types()
    adopt_new()
    with prefect_client() as client:
        zombie_runs.ensure_zombie_automation(client)
    store = open_store(load_settings())
    connectors, unusable = _usable(store)
    polls = connector_deployments.apply_deployments(connectors, unusable)
    update_choices(connectors, unusable)
    switches = {poll.connector: poll.polling for poll in polls}
    sources = [
        source_of(name, connector)._replace(polling=switches.get(name)) for name, connector in connectors.items()
    ]
    registry.upsert_connectors(store, sources)
    undeployed = {poll.connector_id for poll in polls if poll.done == "removed"}
    if missing := registry.find_missing(store, sources, undeployed):
        listed = {source.name for source in sources}
        new = saved_names().keys() - listed  # read again: one may have been saved since these were listed
        removed = [connector_id for connector_id, name in missing.items() if name not in new]
        registry.mark_missing_removed(store, removed, undeployed)
    refresh_health(store, sources)
    refresh_urgent_if_stale(store)
    reserved = connectors.keys() - {poll.connector for poll in polls}
    return ApplyResult(polls, unusable | {name: _reserved_name_message(name) for name in sorted(reserved)})


def _usable(store: Store) -> tuple[dict[str, Connector], dict[str, str]]:
    """The usable connectors, and the problem of each other one, by name."""
    connectors, unusable = load_all()
    refused = registry.other_tenants(store, [source_of(name, connector) for name, connector in connectors.items()])
    usable = {name: connector for name, connector in connectors.items() if name not in refused}
    return usable, unusable | refused


def _reserved_name_message(name: str) -> str:
    return (
        f"The connector {name!r} is not polled, because a deployment in prefect.yaml has the same name. Rename it: "
        f"`attachment-alerts connectors rename {name} NEW`."
    )


def summarize(polls: list[connector_deployments.Poll]) -> str:
    """The changes and the number of polled connectors, as text."""
    changes = [f"{poll.deployment} {poll.done}" for poll in polls if poll.done != "unchanged"]
    polled = sum(poll.polling for poll in polls)
    count = sum(poll.done != "removed" for poll in polls)
    return f"{'; '.join(changes) or 'Nothing to change'}. {polled} of {count} connectors are polled."
