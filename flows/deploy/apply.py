"""Apply the saved connectors to the Prefect server: deployments, forms, pages, and the store's own list."""

from typing import NamedTuple

from flows.artifacts.dashboard_writer import refresh_health, refresh_urgent_if_stale
from flows.deploy import connector_deployments, zombie_runs
from flows.deploy.parameter_choices import offer
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import prefect_client
from tasks.ingest import registry
from tasks.ingest.connector_source import source_of
from tasks.saved_connectors import offer_forms, saved_names, sorted_out
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store


class Applied(NamedTuple):
    """What came of the saved connectors."""

    polls: list[connector_deployments.Poll]
    unusable: dict[str, str]
    """those that cannot be polled as they are saved: what to do about it, by name"""


def applied() -> Applied:
    """Apply the saved connectors; tables and pages learn which of them are polled, a new server learns the forms."""
    offer_forms()
    with prefect_client() as client:
        zombie_runs.watched(client)
    store = open_store(load_settings())
    connectors, unusable = _usable(store)
    done = connector_deployments.apply(connectors, unusable)
    offer(connectors, unusable)
    switches = {poll.connector: poll.polling for poll in done}
    sources = [source_of(name, each)._replace(polling=switches.get(name)) for name, each in connectors.items()]
    registry.upsert_connectors(store, sources)
    undeployed = {poll.connector_id for poll in done if poll.done == "removed"}
    if gone := registry.find_missing(store, sources, undeployed):
        listed = {source.name for source in sources}
        kept = saved_names().keys() - listed  # asked again: one may have been saved since these were listed
        registry.mark_missing_removed(store, [each for each, name in gone.items() if name not in kept], undeployed)
    refresh_health(store, sources)
    refresh_urgent_if_stale(store)
    taken = connectors.keys() - {poll.connector for poll in done}
    return Applied(done, unusable | {name: _name_taken(name) for name in sorted(taken)})


def _usable(store: Store) -> tuple[dict[str, Connector], dict[str, str]]:
    """The saved connectors that can be used, by name, and what to do about each of the others."""
    connectors, unusable = sorted_out()
    refused = registry.other_tenants(store, [source_of(name, each) for name, each in connectors.items()])
    return {name: each for name, each in connectors.items() if name not in refused}, unusable | refused


def _name_taken(name: str) -> str:
    return (
        f"The connector {name!r} is not polled, for that is the name of a deployment in prefect.yaml. Rename it with "
        f"`attachment-alerts connectors rename {name} NEW`."
    )


def summary(done: list[connector_deployments.Poll]) -> str:
    """What was done, in a sentence."""
    news = [f"{poll.deployment} {poll.done}" for poll in done if poll.done != "unchanged"]
    on = sum(poll.polling for poll in done)
    count = sum(poll.done != "removed" for poll in done)
    return f"{'; '.join(news) or 'Nothing to change'}. {on} of {count} connectors are polled."
