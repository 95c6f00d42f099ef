"""Where the command begins and ends: the only place that catches the project's errors."""

import os

import typer

from flows.console.options import COMMAND
from flows.console.terminal import fail, say
from tasks.errors import AlertsError
from tasks.http.loopback import bypass_proxy_for_loopback
from tasks.sanitize import plain
from tasks.store.files import keep_files_private

TRACEBACK = "ATTACHMENT_ALERTS_TRACEBACK"
STOPPED = 130  # what a shell expects of a command that Ctrl-C has ended


def start(app: typer.Typer, arguments: list[str]) -> None:
    """Run the command and leave by SystemExit: 0 if it succeeded, 1 if not, 2 if the arguments are invalid."""
    keep_files_private()
    bypass_proxy_for_loopback()
    show_traceback = "--traceback" in arguments or os.environ.get(TRACEBACK, "") not in ("", "0")
    # The option is accepted anywhere; Typer itself would take it before the name of the command only.
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        typer.main.get_command(app)(arguments, prog_name=COMMAND)
    except AlertsError as error:
        if show_traceback:
            raise
        fail(str(error))
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == STOPPED:
            say("Stopped.")
        raise
    except Exception as error:  # the end of the process: a defect, too, is one line unless more is asked for
        if show_traceback:
            raise
        message = f"Unexpected error ({type(error).__name__}): {plain(str(error))}. "
        fail(f"{message}This is a defect. Please report it with the output of `{COMMAND} --traceback …`.")
        raise SystemExit(1) from None
