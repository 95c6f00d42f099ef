"""What an import of directory exports did, file by file, in the terminal."""

from pathlib import Path
from typing import Any

from rich.text import Text

from flows import prefect_api
from flows.terminal import out, print_json, say, shown
from tasks.directory.formats.archive import refuse_missing
from tasks.errors import AlertsError
from tasks.formatting import several
from tasks.sanitize import plain
from tasks.settings import load_settings

MARKS = {"imported": ("✔", "green"), "unchanged": ("-", "dim"), "refused": ("✘", "bold red")}
WORDS = {"people": ("person", "people"), "devices": ("device", "devices"), "addresses": ("address", "addresses")}


def import_directory(paths: list[str] | None, tenant: str, *, confirm_gone: bool, as_json: bool) -> None:
    """Run the flow in this process and print one line for each file. Raises AlertsError where one was refused."""
    for path in paths or ():
        refuse_missing(Path(path))  # before a server is started for it
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
    elif counts["files"] or state.is_completed():
        show_files(counts["files"])
    if not state.is_completed():
        raise AlertsError(str(state.message))


def show_files(files: list[dict[str, Any]]) -> None:
    """A sentence for each file or listing, and under it each of its warnings."""
    if not files:
        say("Nothing to import.")
    for each in files:
        out.print(sentence(each), soft_wrap=True)
        for warning in each["warnings"]:
            out.print(Text.assemble("    ", shown(warning, "yellow", limit=1000)), soft_wrap=True)


def sentence(file: dict[str, Any]) -> Text:
    """What became of a file: what is in it and what of it was rejected, or why it is refused."""
    mark, style = MARKS[file["state"]]
    name = shown(file["file"], "bold", limit=1000)
    if file["refusal"]:
        # A reader's refusal begins with the name and the place in the file.
        refusal = file["refusal"].removeprefix(plain(file["file"]))
        joint = "" if refusal.startswith((",", ":", " ")) else ": "
        return Text.assemble((f"{mark} ", style), name, f"{joint}{plain(refusal, 1000)} Refused: it changes nothing.")
    counted = ", ".join(_several(file[name], *words) for name, words in WORDS.items())
    reasons = f" ({'; '.join(file['reasons'])})" if file["reasons"] else ""
    warnings = several(len(file["warnings"]), "warning") if file["warnings"] else "no warnings"
    same = ", the same as before: nothing changed" if file["state"] == "unchanged" else ""
    says = f" ({file['family']}): {counted}, {file['rejected']:,} rejected{reasons}, {warnings}{same}"
    return Text.assemble((f"{mark} ", style), name, plain(says, 2000))


def _several(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
