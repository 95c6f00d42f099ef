"""The command `import-directory`. It needs no Prefect: messages wait in the outbox for the next run."""

from pathlib import Path

from flows.cli.views.directory import show_files
from flows.console.terminal import print_json, show_progress
from tasks.directory.formats.archive import check_exists
from tasks.directory.imports.import_files import import_files
from tasks.errors import AlertsError


def import_directory(paths: list[str] | None, tenant: str, *, confirm_gone: bool, as_json: bool) -> None:
    """Raises AlertsError if the import failed or a file was refused."""
    for path in paths or ():
        check_exists(Path(path))
    with show_progress("Importing"):
        report = import_files(paths or (), tenant, confirm_gone=confirm_gone)
    if as_json:
        print_json({"tenant": tenant, "state": "Failed" if report.error else "Completed", "files": report.files})
    elif report.files or not report.error:
        show_files(report.files)
    if report.error:
        raise AlertsError(report.error)
