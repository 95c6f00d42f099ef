"""What an import of directory exports did, one line for each file."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from flows.console.terminal import out, print_message, shown
from tasks.formatting import format_count
from tasks.sanitize import plain

MARKS = {"imported": ("✔", "green"), "unchanged": ("-", "dim"), "refused": ("✘", "bold red")}


def show_files(files: Sequence[Mapping[str, Any]]) -> None:
    """`files`: FileReports."""
    if not files:
        print_message("Nothing to import.")
    for file in files:
        out.print(file_line(file), soft_wrap=True)
        for warning in file["warnings"]:
            out.print(Text.assemble("    ", shown(warning, "yellow", limit=1000)), soft_wrap=True)


def file_line(file: Mapping[str, Any]) -> Text:
    """Counts and rejected rows, or why the file was refused."""
    mark, style = MARKS[file["state"]]
    name = shown(file["file"], "bold", limit=1000)
    if file["refusal"]:
        # Most refusals begin with the name and the position in the file.
        refusal = file["refusal"].removeprefix(plain(file["file"]))
        separator = "" if refusal.startswith((",", ":", " ")) else ": "
        return Text.assemble((f"{mark} ", style), name, f"{separator}{plain(refusal, 1000)}")
    addresses = format_count(file["addresses"], "address")
    groups = f", {format_count(file['groups'], 'group')}" if file["groups"] else ""
    counts = f"{format_count(file['people'], 'person')}{groups}, {format_count(file['devices'], 'device')}, {addresses}"
    reasons = f" ({'; '.join(file['reasons'])})" if file["reasons"] else ""
    warnings = format_count(len(file["warnings"]), "warning") if file["warnings"] else "no warnings"
    unchanged = ", the same as before: nothing changed" if file["state"] == "unchanged" else ""
    text = f" ({file['family']}): {counts}, {file['rejected']:,} rejected{reasons}, {warnings}{unchanged}"
    return Text.assemble((f"{mark} ", style), name, plain(text, 2000))
