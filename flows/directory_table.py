"""What an import of directory exports did, file by file, in the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from flows import prefect_api
from flows.layout import plain_table
from flows.terminal import out, print_json, say, shown
from tasks.errors import AlertsError
from tasks.settings import load_settings

STYLE = {"imported": "green", "unchanged": "dim", "refused": "bold red"}


def import_directory(paths: list[str] | None, tenant: str, *, confirm_gone: bool, as_json: bool) -> None:
    """Run the flow in this process and print one line for each file. Raises AlertsError where one was refused."""
    prefect_api.load(load_settings().home)
    with prefect_api.asking() as change:
        from flows.directory import directory_import  # noqa: PLC0415 - Prefect takes seconds to load

        change("Importing")
        state = directory_import(paths, tenant, confirm_gone, return_state=True)
        result: Any = state.result(raise_on_failure=False)
    counts: Any = getattr(result, "counts", result)
    if isinstance(counts, BaseException):
        raise counts
    if as_json:
        print_json({"tenant": tenant, "state": state.name, **counts})
    else:
        show_files(counts["files"])
    if not state.is_completed():
        raise AlertsError(str(state.message))


def show_files(files: list[dict[str, Any]]) -> None:
    """One line for each file or listing, then reasons and warnings."""
    if files:
        out.print(_table(files), *_notes(files), sep="\n")
    else:
        say("Nothing to import.")


def _table(files: list[dict[str, Any]]) -> Table:
    table = plain_table(expand=False)
    for title in ("File", "Recognised as"):
        table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=44)
    for title in ("People", "Devices", "Addresses", "Rejected"):
        table.add_column(title, justify="right")
    table.add_column("Result")
    for each in files:
        table.add_row(
            shown(each["file"].rpartition("/")[2]),
            shown(each["family"] or "not recognised"),
            *(f"{each[name]:,}" for name in ("people", "devices", "addresses", "rejected")),
            Text(each["state"], style=STYLE[each["state"]]),
        )
    return table


def _notes(files: list[dict[str, Any]]) -> list[Text]:
    """Reasons of rejects and warnings, under the name of their file."""
    notes = []
    for each in files:
        lines = [f"rejected: {reason}" for reason in each["reasons"]] + each["warnings"]
        for line in lines:
            name = Text.assemble(shown(each["file"].rpartition("/")[2], "bold"), ": ")
            notes.append(name.append(shown(line, "yellow", limit=1000)))
    return notes
