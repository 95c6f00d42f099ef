"""Applies the saved connectors: deployments, forms and pages on the Prefect server, and the rows in the store."""

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
    """The deployments of the saved connectors, and the connectors that have none."""

    polls: list[connector_deployments.Poll]
    unusable: dict[str, str]
    """why each cannot be polled and what to do, by name"""


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
    done = connector_deployments.apply_deployments(connectors, unusable)
    update_choices(connectors, unusable)
    switches = {poll.connector: poll.polling for poll in done}
    sources = [source_of(name, each)._replace(polling=switches.get(name)) for name, each in connectors.items()]
    registry.upsert_connectors(store, sources)
    undeployed = {poll.connector_id for poll in done if poll.done == "removed"}
    if gone := registry.find_missing(store, sources, undeployed):
        listed = {source.name for source in sources}
        kept = saved_names().keys() - listed  # read again: one may have been saved since these were listed
        registry.mark_missing_removed(store, [each for each, name in gone.items() if name not in kept], undeployed)
    refresh_health(store, sources)
    refresh_urgent_if_stale(store)
    reserved = connectors.keys() - {poll.connector for poll in done}
    return ApplyResult(done, unusable | {name: _reserved_name_message(name) for name in sorted(reserved)})


def _usable(store: Store) -> tuple[dict[str, Connector], dict[str, str]]:
    """The usable connectors by name, and what is wrong with each other one."""
    connectors, unusable = load_all()
    refused = registry.other_tenants(store, [source_of(name, each) for name, each in connectors.items()])
    return {name: each for name, each in connectors.items() if name not in refused}, unusable | refused


def _reserved_name_message(name: str) -> str:
    return (
        f"The connector {name!r} is not polled, because a deployment in prefect.yaml has that name. Rename it with "
        f"`attachment-alerts connectors rename {name} NEW`."
    )


def summarize(polls: list[connector_deployments.Poll]) -> str:
    """The changes and the number of polled connectors, as a message."""
    changes = [f"{poll.deployment} {poll.done}" for poll in polls if poll.done != "unchanged"]
    polled = sum(poll.polling for poll in polls)
    count = sum(poll.done != "removed" for poll in polls)
    return f"{'; '.join(changes) or 'Nothing to change'}. {polled} of {count} connectors are polled."
