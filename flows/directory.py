"""Directory exports → people and devices, then every recipient is looked up again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.pull import RunFailed
from tasks.database import Store
from tasks.directory import drop
from tasks.directory.imports import Export, Imported, import_exports
from tasks.directory.reading import Refused, read_files
from tasks.errors import AlertsError
from tasks.settings import load_settings


@task(task_run_name="read {place.name}", cache_policy=NO_CACHE)
def read(place: Path) -> tuple[list[Export], list[Refused]]:
    """Recognise and read every file in one place."""
    return read_files([place], load_settings())


@task(task_run_name="import {tenant}", cache_policy=NO_CACHE)
def load(tenant: str, exports: list[Export], now: datetime, *, confirmed: bool) -> list[Imported]:
    """Put the new snapshots in the place of the old and look every recipient up again."""
    return import_exports(Store(load_settings()), tenant, exports, now, confirmed=confirmed)


@flow(name="directory-import", flow_run_name="directory import {tenant}")
def directory_import(paths: list[str] | None = None, tenant: str = "default", confirm_gone: bool = False) -> State[Any]:
    """Read exports of people and devices, and tell again whom and what each alert concerns.

    Every file is recognised by its content. A file that cannot be read is refused by itself and changes nothing.

    Args:
        paths: Files, folders or zips on the machine that runs this. Empty: everything in the drop folder of the home,
            which is moved to its `done` or `refused` folder afterwards.
        tenant: The organisation these exports belong to.
        confirm_gone: Import also what would mark many of a source's people as gone.
    """
    now = datetime.now(UTC)
    settings = load_settings()
    folder = None if paths else drop.drop_folder(settings)
    places = drop.waiting(folder) if folder else [Path(path) for path in paths or ()]
    try:
        readings = {place: read(place) for place in places}
        exports = [export for found, _ in readings.values() for export in found]
        refused = [each for _, bad in readings.values() for each in bad]
        outcomes = load(tenant, exports, now, confirmed=confirm_gone) if exports else []
    except AlertsError as error:
        return Failed(message=str(error), data=RunFailed(str(error), {"files": []}))
    if folder:
        bad = {each.file_name for each in refused}
        bad |= {each.export.file_name for each in outcomes if each.state == "refused"}
        for place, (found, unread) in readings.items():
            # A place of which anything was refused goes to `refused`, so that somebody looks at it.
            names = {export.file_name for export in found} | {each.file_name for each in unread}
            drop.put_away(place, folder, refused=bool(names & bad), now=now)
        drop.clear(folder, settings, now)
    return outcome(outcomes, refused)


def _files(outcomes: list[Imported], refused: list[Refused]) -> list[dict[str, Any]]:
    """One row for each file, for the terminal and the run's result."""
    rows: list[dict[str, Any]] = [
        {
            "file": each.export.file_name,
            "family": each.export.parsed.family,
            "state": each.state,
            **each.export.counts,
            "reasons": _reasons(each.export),
            "warnings": [*each.export.parsed.warnings, *filter(None, [each.reason])],
        }
        for each in outcomes
    ]
    nothing: dict[str, Any] = dict.fromkeys(("people", "devices", "addresses", "rejected"), 0)
    nothing |= {"family": None, "state": "refused", "reasons": []}
    return rows + [{"file": each.file_name, **nothing, "warnings": [each.reason]} for each in refused]


def _reasons(export: Export) -> list[str]:
    """Why rows were rejected, with how many each: never what stood in them."""
    counted = export.parsed.rejects.group_by("reason", maintain_order=True).len().rows()
    return [f"{reason} ({count})" for reason, count in counted]


def outcome(outcomes: list[Imported], refused: list[Refused]) -> State[Any]:
    """Completed, or Failed where a file was refused; the result says what became of each file."""
    files = _files(outcomes, refused)
    bad = [each for each in files if each["state"] == "refused"]
    if bad:
        says = f"{len(bad)} of {len(files)} files refused. {bad[0]['file']}: {bad[0]['warnings'][-1]}"
        return Failed(message=says, data=RunFailed(says, {"files": files}))
    fresh = [each for each in files if each["state"] == "imported"]
    people, devices = sum(each["people"] for each in fresh), sum(each["devices"] for each in fresh)
    says = f"{len(fresh)} of {len(files)} files imported: {people} people, {devices} devices."
    return Completed(message=says, data={"files": files})
