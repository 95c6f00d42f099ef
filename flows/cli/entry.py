"""Where the command begins and ends: the only place that catches the project's errors."""

import os
import sys

import typer

from flows.console.options import COMMAND
from flows.console.terminal import escape_what_streams_cannot_encode, print_error, print_message, print_traceback
from tasks.errors import AlertsError
from tasks.formatting import system_error
from tasks.http.loopback import bypass_proxy_for_loopback
from tasks.private_files import keep_files_private

TRACEBACK = "ATTACHMENT_ALERTS_TRACEBACK"
STOPPED = 130  # what a shell expects of a command that Ctrl-C has ended


def start(app: typer.Typer, arguments: list[str]) -> None:
    """Run the command and leave by SystemExit: 0 if it succeeded, 1 if not, 2 if the arguments are invalid.

    An error of the project or of the system is one line. Any other exception is a defect and keeps its traceback.
    """
    escape_what_streams_cannot_encode()
    keep_files_private()
    bypass_proxy_for_loopback()
    show_traceback = "--traceback" in arguments or os.environ.get(TRACEBACK, "") not in ("", "0")
    # The option is accepted anywhere; Typer itself would take it before the name of the command only.
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        typer.main.get_command(app)(arguments, prog_name=COMMAND)
    except (AlertsError, OSError) as error:
        if show_traceback:
            print_traceback(error)
        print_error(str(error) if isinstance(error, AlertsError) else system_error(error))
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == STOPPED:
            print_message("Stopped.")
        raise
    finally:
        if isinstance(defect := sys.exception(), Exception):
            print_traceback(defect)  # Python itself would print it unescaped
            print_error(f"This is a defect of {COMMAND}. Please report it with the lines above.")
            raise SystemExit(1) from None
