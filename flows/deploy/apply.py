"""Apply the saved connectors: deployments and forms on the Prefect server, and rows in the store."""

from datetime import UTC, datetime
from typing import NamedTuple

from flows.deploy import connector_deployments, zombie_runs
from flows.deploy.parameter_choices import update_choices
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import prefect_client
from tasks.ingest import registry
from tasks.ingest.connector_source import source_of
from tasks.saved_connectors import load_all, register_block_types, save_new_ids, saved_names
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.store import Store


class ApplyResult(NamedTuple):
    """The deployments of the saved connectors, and the connectors without one."""

    polls: list[connector_deployments.ConnectorDeployment]
    unusable: dict[str, str]
    """by name: why it cannot be polled, and what to do"""


def apply_connectors() -> ApplyResult:
    """Create, update and delete deployments to match the saved connectors, and update the tables.

    Also registers the forms and the zombie automation with a new server.
    """
    register_block_types()
    save_new_ids()
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
    _mark_unsaved_removed(store, sources)
    reserved = connectors.keys() - {poll.connector for poll in polls}
    return ApplyResult(polls, unusable | {name: _reserved_name_message(name) for name in sorted(reserved)})


def _usable(store: Store) -> tuple[dict[str, Connector], dict[str, str]]:
    """The usable connectors, and the problem of each other one, by name."""
    connectors, unusable = load_all()
    refused = registry.other_tenants(store, [source_of(name, connector) for name, connector in connectors.items()])
    usable = {name: connector for name, connector in connectors.items() if name not in refused}
    return usable, unusable | refused


def _mark_unsaved_removed(store: Store, sources: list[Source]) -> None:
    """Remove connectors that are no longer saved from the health; an unusable one keeps its row."""
    ids, names = {source.connector_id for source in sources}, {source.name for source in sources}
    others = {key: name for key, name in registry.connector_names(store).items() if key not in ids}
    # Names are read after the table, because a connector may have been saved since `sources` were read.
    unusable = saved_names().keys() - names if others else set()
    for connector_id, name in others.items():
        if name not in unusable:
            registry.mark_removed(store, connector_id, datetime.now(UTC))


def _reserved_name_message(name: str) -> str:
    return (
        f"The connector {name!r} is not polled, because a deployment in prefect.yaml has the same name. Rename it: "
        f"`attachment-alerts connectors rename {name} NEW`."
    )


def summarize(polls: list[connector_deployments.ConnectorDeployment]) -> str:
    """The changes and the number of polled connectors, as text."""
    changes = [f"{poll.deployment} {poll.done}" for poll in polls if poll.done != "unchanged"]
    polled = sum(poll.polling for poll in polls)
    count = sum(poll.done != "removed" for poll in polls)
    return f"{'; '.join(changes) or 'Nothing to change'}. {polled} of {count} connectors are polled."
