"""Pull of people, groups and devices from Microsoft Graph."""

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
from flows.runs import current_run, events, final_states
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
    """Raises UnknownConnector, and SettingsError for a connector of another product."""
    connector = load_connector(name)
    if not isinstance(connector, EntraConnector):
        raise SettingsError(f"The connector {name!r} is not one of Microsoft Entra ID. Choose one that is.")
    return connector


@task(task_run_name="pull {connector}", cache_policy=NO_CACHE)
def fetch(connector: str) -> list[Parsed]:
    """Read every listing that the application may read, completely or with an exception."""
    return pull(load_entra_connector(connector), threading.Event())


@flow(name="entra", flow_run_name="{connector} pull")
def entra(connector: str, confirm_gone: bool = False) -> State[Any]:
    """Read people, mail groups and devices from Microsoft Graph, and match the alerts with them again.

    Args:
        connector: Name of the saved connector of the directory.
        confirm_gone: Import even if this marks many people as gone. Such a pull is refused otherwise, because the
            usual cause is a permission that was removed.
    """
    now = datetime.now(UTC)
    try:
        store = open_store(load_settings())
        source = source_of(connector, load_entra_connector(connector), scheduled=current_run.is_scheduled())
        source, refused = _register(store, source, now)
        state, failure = (
            (_failed(refused), refused) if refused else _pull_and_import(source, now, confirmed=confirm_gone)
        )
        coverage.record_full_pull(store, source, now, failure, flow_run.get_id())
        events.send_run_events(store, source, "poll", RunStats(failed=1) if failure else RunStats(slices=1))
    except AlertsError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return final_states.interrupted()
    dashboard_writer.write_health_after_run(store, source, now, state)
    return state


def _register(store: Store, source: Source, now: datetime) -> tuple[Source, SettingsError | None]:
    """Register the connector; also returns why it is refused, if it is."""
    try:
        pull_session.begin(store, source, now)
    except SettingsError as refused:
        return begin_for_existing_tenant(store, source, now)[0], refused
    return source, None


def _pull_and_import(source: Source, now: datetime, *, confirmed: bool) -> tuple[State[Any], AlertsError | None]:
    """The state of the run, and the error of a failed one."""
    try:
        # The random hash keeps a pull from being taken for an already imported file: it is new even if nothing changed.
        exports = [Export(f"{source.name}: {parsed.source}", uuid4().hex, parsed) for parsed in fetch(source.name)]
        report = load(source.tenant, exports, now, confirmed=confirmed)
    except AlertsError as error:
        return _failed(error), error
    import_report.publish(report.files)
    return final_state(report), ExportRefused(report.error) if report.error else None


def _failed(error: AlertsError) -> State[Any]:
    return final_states.failed(str(error), {"files": []})
