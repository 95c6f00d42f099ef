"""Live pull of people, groups and devices from Microsoft Graph, by the name of its saved connector."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.artifacts import dashboard_writer, import_report
from flows.directory import final_state, load
from flows.runs import events, final_states
from flows.runs.session import begin_for_existing_tenant
from tasks.directory.export import Export
from tasks.directory.model import Parsed
from tasks.entra.connector import EntraConnector
from tasks.entra.pull import pull
from tasks.errors import AlertsError, ExportRefused, SettingsError
from tasks.ingest import coverage, pull_session
from tasks.ingest.connector_source import source_of
from tasks.ingest.run_stats import RunStats
from tasks.saved_connectors import load_connector
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.store import Store


def load_entra_connector(name: str) -> EntraConnector:
    """The connector of that name. Raises UnknownConnector, SettingsError."""
    connector = load_connector(name)
    if not isinstance(connector, EntraConnector):
        raise SettingsError(f"{name!r} is no directory of Microsoft Entra ID. Name a connector that is.")
    return connector


@task(task_run_name="pull {connector}", cache_policy=NO_CACHE)
def fetch(connector: str) -> list[Parsed]:
    """Every page of every listing that the application may read, or an exception."""
    return pull(load_entra_connector(connector), threading.Event())


@flow(name="entra", flow_run_name="{connector} pull")
def entra(connector: str, confirm_gone: bool = False) -> State[Any]:
    """Read people, mail groups and devices from Microsoft Graph, and tell again whom and what each alert concerns.

    Args:
        connector: Which directory: the name under which its connector is saved.
        confirm_gone: Import also what would mark many people as gone. Without it such a pull is refused, because it is
            usually a permission that was taken away.
    """
    now = datetime.now(UTC)
    try:
        source, store = source_of(connector, load_entra_connector(connector)), open_store(load_settings())
        source, refused = _register(store, source, now)
        state, failure = (
            (_failed(refused), refused) if refused else _pull_and_import(source, now, confirmed=confirm_gone)
        )
        coverage.record_full_pull(store, source, now, failure, flow_run.get_id())
        events.send_run_events(store, source, "poll", RunStats(failed=1) if failure else RunStats(slices=1))
    except AlertsError as error:
        return _failed(error)
    dashboard_writer.write_health_after_run(store, source, now, state)
    return state


def _register(store: Store, source: Source, now: datetime) -> tuple[Source, SettingsError | None]:
    """Register the connector; and why it is refused."""
    try:
        pull_session.begin(store, source, now)
    except SettingsError as refused:
        return begin_for_existing_tenant(store, source, now)[0], refused
    return source, None


def _pull_and_import(source: Source, now: datetime, *, confirmed: bool) -> tuple[State[Any], AlertsError | None]:
    """The state of the run, and what made it fail."""
    try:
        # A pull is fresh even where it says the same as the last one, so it never counts as the same file.
        exports = [Export(f"{source.name}: {each.source}", uuid4().hex, each) for each in fetch(source.name)]
        report = load(source.tenant, exports, now, confirmed=confirmed)
    except AlertsError as error:
        return _failed(error), error
    import_report.publish(report.files)
    return final_state(report), ExportRefused(report.error) if report.error else None


def _failed(error: AlertsError) -> State[Any]:
    return final_states.failed(str(error), {"files": []})
