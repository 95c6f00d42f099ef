"""What an import of directory exports did, file by file."""

from typing import Any

from rich.text import Text

from flows.console.terminal import out, say, shown
from tasks.formatting import several
from tasks.sanitize import plain

MARKS = {"imported": ("✔", "green"), "unchanged": ("-", "dim"), "refused": ("✘", "bold red")}
WORDS = {"people": ("person", "people"), "devices": ("device", "devices"), "addresses": ("address", "addresses")}


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
