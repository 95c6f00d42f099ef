"""Scheduled import of directory exports: people and devices, then every recipient is matched again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import import_report
from flows.runs import events, final_states
from tasks.directory.export import Export
from tasks.directory.imports.file_report import ImportReport, report_of
from tasks.directory.imports.import_files import import_files
from tasks.directory.imports.run_import import import_exports
from tasks.settings import load_settings
from tasks.store.factory import open_store


@flow(name="directory-import", flow_run_name="directory import {tenant}")
def directory_import(paths: list[str] | None = None, tenant: str = "default", confirm_gone: bool = False) -> State[Any]:
    """Import exports of people and devices, then update whom and which devices each alert concerns.

    The format of each file is detected from its content. A file that cannot be read is refused and changes nothing.

    Args:
        paths: Files, folders or zips on the machine that runs this. Empty: everything in the drop folder of the home,
            which is moved to its `done` or `refused` folder afterwards.
        tenant: The organisation these exports belong to.
        confirm_gone: Import even if many people of a source would be marked as gone.
    """
    report = import_files(paths or (), tenant, confirm_gone=confirm_gone)
    events.send_pending_of_home()
    import_report.publish(report.files)
    return final_state(report)


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
