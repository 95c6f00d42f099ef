"""Runs that renew the directory: import of exports, pull from a service."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.artifacts import dashboard_writer, import_report
from flows.runs import current_run, events, final_states
from flows.runs.session import begin_for_existing_tenant
from tasks.connectors.base import Connector
from tasks.directory.export import Export
from tasks.directory.imports.file_report import ImportReport, report_of
from tasks.directory.imports.import_files import import_files
from tasks.directory.imports.run_import import import_exports
from tasks.directory.model import Parsed
from tasks.errors import AlertsError, ExportRefused, SettingsError
from tasks.ingest import coverage, pull_session
from tasks.ingest.connector_source import source_of
from tasks.ingest.run_stats import RunStats
from tasks.products import get_product
from tasks.saved_connectors import load_connector
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.store import Store


def run_import(paths: Sequence[str], tenant: str, *, confirmed: bool) -> State[Any]:
    """Import these files and folders, or the drop folder if there are none."""
    report = import_files(paths, tenant, confirm_gone=confirmed)
    events.send_pending_of_home()
    import_report.publish(report.files)
    return final_state(report)


def run_pull(name: str, *, confirmed: bool) -> State[Any]:
    """Read the directory of a saved connector, import it, and record the attempt in the connector's health."""
    now = datetime.now(UTC)
    try:
        store = open_store(load_settings())
        connector = load_connector(name)
        pull_of(connector)
        source = source_of(name, connector, scheduled=current_run.is_scheduled())
        source, refused = _register(store, source, now)
        state, failure = (_failed(refused), refused) if refused else _pull_and_import(source, now, confirmed=confirmed)
        coverage.record_full_pull(store, source, now, failure, flow_run.get_id())
        events.send_run_events(store, source, "poll", RunStats(failed=1) if failure else RunStats(slices=1))
    except AlertsError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return final_states.interrupted()
    dashboard_writer.write_health_after_run(store, source, now, state)
    return state


def pull_of(connector: Connector) -> Callable[[Any, threading.Event], list[Parsed]]:
    """What reads the directory. Raises SettingsError for a connector of a product without one."""
    pull = get_product(connector.product).pull_directory
    if pull is None:
        raise SettingsError(
            f"A connector of the product {connector.product!r} delivers no directory. Choose one that does."
        )
    return pull


@task(task_run_name="pull {connector}", cache_policy=NO_CACHE)
def fetch(connector: str) -> list[Parsed]:
    """Read every listing that the application may read, completely or with an exception."""
    saved = load_connector(connector)
    return pull_of(saved)(saved, threading.Event())


@task(task_run_name="import {tenant}", cache_policy=NO_CACHE)
def load(tenant: str, exports: Sequence[Export], now: datetime, *, confirmed: bool) -> ImportReport:
    """Replace the snapshots of these sources and match every recipient again."""
    return report_of(import_exports(open_store(load_settings()), tenant, list(exports), now, confirmed=confirmed), [])


def final_state(report: ImportReport) -> State[Any]:
    """Completed, or Failed with the first error; the result lists the files in both cases."""
    result = {"files": report.files}
    if report.error:
        return final_states.failed(report.error, result)
    return Completed(message=report.summary, data=result)


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
