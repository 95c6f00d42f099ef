"""The import of files, as the command and the flow run it: read, import, move what lay in the drop folder."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tasks.directory.imports import drop_folder
from tasks.directory.imports.file_report import ImportReport, report_of
from tasks.directory.imports.run_import import import_exports
from tasks.directory.sources.read_files import read_files
from tasks.errors import AlertsError
from tasks.settings import Settings, load_settings
from tasks.store.factory import open_store


def import_files(paths: Sequence[str], tenant: str, *, confirm_gone: bool) -> ImportReport:
    """Import these files, folders and zips; without paths, what is in the drop folder.

    A file that cannot be read does not affect the others. Errors are in the report, which also lists what was imported
    before them.
    """
    now = datetime.now(UTC)
    report = ImportReport([])
    try:
        settings = load_settings()
        if paths:
            report, _ = _import(settings, [Path(path) for path in paths], tenant, now, confirm_gone, follow_links=True)
            return report
        folder = drop_folder.ensure_drop_folder(settings)
        waiting = drop_folder.list_waiting(folder)
        report, names = _import(settings, waiting, tenant, now, confirm_gone, follow_links=False)
        refused = {file["file"] for file in report.files if file["state"] == "refused"}
        for path in waiting:
            # If any file in it was refused, it goes to `refused`, because it needs attention.
            drop_folder.move_away(path, folder, refused=bool(names[path] & refused), now=now)
        drop_folder.delete_expired(folder, settings, now)
    except AlertsError as error:
        return replace(report, error=str(error))
    return report


def _import(
    settings: Settings, paths: Sequence[Path], tenant: str, now: datetime, confirm_gone: bool, *, follow_links: bool
) -> tuple[ImportReport, dict[Path, set[str]]]:
    """The report, and the names of the files found at each path."""
    results = {path: read_files([path], settings, follow=follow_links) for path in paths}
    exports = [export for found, _ in results.values() for export in found]
    refused = [file for _, files in results.values() for file in files]
    unreadable = [file.file_name for file in refused]
    outcomes = import_exports(open_store(settings), tenant, exports, now, confirmed=confirm_gone, unreadable=unreadable)
    names = {
        path: {export.file_name for export in found} | {file.file_name for file in files}
        for path, (found, files) in results.items()
    }
    return report_of(outcomes, refused), names
