"""Arguments and options that commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

COMMAND = "attachment-alerts"


def example(*calls: str) -> str:
    """The examples below the help of a command."""
    title = "Example" if len(calls) == 1 else "Examples"
    return f"{title}:\n\n" + "\n\n".join(f"  {COMMAND} {call}" for call in calls)


def _set_home(home: Path | None) -> Path | None:
    if home is not None:
        os.environ["ATTACHMENT_ALERTS_HOME"] = str(home.expanduser().absolute())  # flows read it from there
    return home


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="FOLDER",
        readable=False,  # what is read or written in it reports what it cannot
        callback=_set_home,
        envvar="ATTACHMENT_ALERTS_HOME",
        show_default=False,
        help="Folder of the database files. Default: data/ of the checkout.",
    ),
]
# Ignores ATTACHMENT_ALERTS_HOME: the demo must never run in the home of a site.
DemoHome = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="FOLDER", readable=False, show_default=False, help="The demo's home. Default: data/demo-home."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Name of a saved connector.")]
