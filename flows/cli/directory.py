"""The command `import-directory`: the flow runs in this process, and each file gets a line."""

from pathlib import Path
from typing import Any

from flows.cli.views.directory import show_files
from flows.console.terminal import print_json
from flows.server import prefect_session
from tasks.directory.formats.archive import refuse_missing
from tasks.errors import AlertsError
from tasks.settings import load_settings


def import_directory(paths: list[str] | None, tenant: str, *, confirm_gone: bool, as_json: bool) -> None:
    """Run the flow in this process and print one line for each file. Raises AlertsError where one was refused."""
    for path in paths or ():
        refuse_missing(Path(path))  # before a server is started for it
    prefect_session.load(load_settings().home)
    with prefect_session.asking() as change:
        from flows.directory import directory_import  # noqa: PLC0415 - Prefect takes seconds to load

        change("Importing")
        state = directory_import(paths, tenant, confirm_gone, return_state=True)
        result: Any = state.result(raise_on_failure=False)
    counts: Any = getattr(result, "counts", result)
    if isinstance(counts, BaseException):
        raise counts
    if as_json:
        print_json({"tenant": tenant, "state": state.name, **counts})
    elif counts["files"] or state.is_completed():
        show_files(counts["files"])
    if not state.is_completed():
        raise AlertsError(str(state.message))
