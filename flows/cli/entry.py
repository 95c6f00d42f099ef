"""Where the command begins and ends: the only place that catches the project's errors."""

import os
import sys
from types import TracebackType

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
    """Run the command and leave by SystemExit: 0 if it did what was asked, 1 if not, 2 if that was not understood."""
    keep_files_private()
    bypass_proxy_for_loopback()
    explain = "--traceback" in arguments or os.environ.get(TRACEBACK, "") not in ("", "0")
    if not explain:
        sys.excepthook = defect
    command = typer.main.get_command(app)  # calling `app` itself would put another excepthook in place of ours
    try:
        command(sorted(arguments, key=lambda argument: argument != "--traceback"), prog_name=COMMAND)
    except AlertsError as error:
        if explain:
            raise
        fail(str(error))
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == STOPPED:
            say("Stopped.")
        raise


def defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error nobody foresaw: one line too, unless more is asked for."""
    says = plain(str(error))
    fail(f"Unexpected {kind.__name__}: {says}. This is a defect; `--traceback` shows where. Please report it.")
