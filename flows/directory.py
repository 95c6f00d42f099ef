"""Directory exports → people and devices, then every recipient is looked up again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import import_report
from flows.runs import final_states
from tasks.directory.export import Export, ImportOutcome
from tasks.directory.imports import drop_folder
from tasks.directory.imports.run_import import import_exports
from tasks.directory.sources.read_files import RefusedFile, read_files
from tasks.errors import AlertsError
from tasks.formatting import several
from tasks.sanitize import plain
from tasks.settings import load_settings
from tasks.store.factory import open_store

COUNTS = ("people", "devices", "addresses", "rejected")
PLACES = 5  # rejected rows that are named


@task(task_run_name="read {place.name}", cache_policy=NO_CACHE)
def read(place: Path, *, follow: bool) -> tuple[list[Export], list[RefusedFile]]:
    """Recognise and read every file in one place."""
    return read_files([place], load_settings(), follow=follow)


@task(task_run_name="import {tenant}", cache_policy=NO_CACHE)
def load(
    tenant: str, exports: list[Export], now: datetime, *, confirmed: bool, unread: Sequence[str] = ()
) -> list[ImportOutcome]:
    """Put the new snapshots in the place of the old and look every recipient up again."""
    return import_exports(open_store(load_settings()), tenant, exports, now, confirmed=confirmed, unread=unread)


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
    try:
        settings = load_settings()
        folder = None if paths else drop_folder.ensure_drop_folder(settings)
        places = drop_folder.list_waiting(folder) if folder else [Path(path) for path in paths or ()]
        readings = {place: read(place, follow=folder is None) for place in places}
        exports = [export for found, _ in readings.values() for export in found]
        refused = [each for _, bad in readings.values() for each in bad]
        names = [each.file_name for each in refused]
        outcomes = load(tenant, exports, now, confirmed=confirm_gone, unread=names)
    except AlertsError as error:
        return failed(error, [])
    told = files(outcomes, refused)
    import_report.show(told)
    try:
        if folder:
            bad = {each["file"] for each in told if each["state"] == "refused"}
            for place, (found, unread) in readings.items():
                # A place of which anything was refused goes to `refused`, so that somebody looks at it.
                inside = {export.file_name for export in found} | {each.file_name for each in unread}
                drop_folder.move_away(place, folder, refused=bool(inside & bad), now=now)
            drop_folder.delete_expired(folder, settings, now)
    except AlertsError as error:
        return failed(error, told)
    return outcome(told)


def failed(error: AlertsError, told: list[dict[str, Any]]) -> State[Any]:
    """The end of an import in an error's own sentence."""
    return final_states.failed(str(error), {"files": told})


def files(outcomes: list[ImportOutcome], refused: list[RefusedFile]) -> list[dict[str, Any]]:
    """One row for each file, for the terminal and the run's result: a file of several kinds is one file."""
    parts: dict[str, list[ImportOutcome]] = {}
    for each in outcomes:
        parts.setdefault(each.export.file_name, []).append(each)
    nothing: dict[str, Any] = dict.fromkeys(COUNTS, 0)
    nothing |= {"family": None, "state": "refused", "reasons": [], "warnings": []}
    unread = [{"file": each.file_name, **nothing, "refusal": each.reason} for each in refused]
    return [_file(name, found) for name, found in parts.items()] + unread


def _file(name: str, parts: list[ImportOutcome]) -> dict[str, Any]:
    states = {each.state for each in parts}
    state = next(each for each in ("refused", "imported", "unchanged") if each in states)
    said = [reason for each in parts if each.state == state and (reason := each.reason)]
    warnings = [text for each in parts for text in each.export.parsed.warnings]
    return {
        "file": name,
        "family": ", ".join(dict.fromkeys(each.export.parsed.family for each in parts)),
        "state": state,
        **{count: sum(each.export.counts[count] for each in parts) for count in COUNTS},
        "reasons": [text for each in parts for text in _reasons(each.export)],
        "warnings": list(dict.fromkeys(warnings + ([] if state == "refused" else said))),
        "refusal": said[0] if state == "refused" else None,
    }


def _reasons(export: Export) -> list[str]:
    """Why rows were rejected, and where they stand: never what stood in them."""
    rejects = export.parsed.rejects.group_by("reason", maintain_order=True).agg("row", count=pl.len())
    place = "record" if "JSON" in export.parsed.family or "Graph" in export.parsed.family else "line"
    return [f"{reason} ({_places(place, rows, count)})" for reason, rows, count in rejects.rows()]


def _places(place: str, rows: list[int], count: int) -> str:
    named = ", ".join(map(str, rows[:PLACES]))
    more = f" and {count - PLACES} more" if count > PLACES else ""
    return f"{place}{'s' if count > 1 else ''} {named}{more}"


def outcome(files: list[dict[str, Any]]) -> State[Any]:
    """Completed, or Failed where a file was refused; the result says what became of each file."""
    bad, all_of_them = [each for each in files if each["state"] == "refused"], several(len(files), "file")
    if bad:
        name, refusal = plain(bad[0]["file"]), bad[0]["refusal"]
        says = f"{len(bad)} of {all_of_them} refused. {'' if refusal.startswith(name) else f'{name}: '}{refusal}"
        return final_states.failed(says, {"files": files})
    fresh = [each for each in files if each["state"] == "imported"]
    people, devices = sum(each["people"] for each in fresh), sum(each["devices"] for each in fresh)
    brought = f"{several(people, 'person')}, {several(devices, 'device')}"
    says = f"{len(fresh)} of {all_of_them} imported: {brought}."
    return Completed(message=says, data={"files": files})
