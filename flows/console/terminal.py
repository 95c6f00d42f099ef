"""Terminal output: data on stdout, progress and errors on stderr.

Untrusted text reaches a console only through `shown`, and the consoles interpret no markup, so a file name cannot
style, link or erase anything.
"""

import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from getpass import getpass
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tasks.errors import OperatorError
from tasks.sanitize import plain

NOT_A_TERMINAL = 160  # columns in a pipe or the log of a job
PROGRESS_INTERVAL = 5.0  # seconds between two lines if there is no terminal for a spinner

PRIORITY = {"high": "bold red", "medium": "yellow", "low": "dim"}
SYMBOL = {"ok": ("✔", "green"), "warning": ("▲", "yellow"), "failed": ("✘", "bold red"), "skipped": ("-", "dim")}


def _width() -> int | None:
    has_width = "COLUMNS" in os.environ or any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    return None if has_width else NOT_A_TERMINAL


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=_width())


out = _console(stderr=False)
err = _console(stderr=True)


def escape_what_streams_cannot_encode() -> None:
    """Escape what the encoding of a terminal or file has no character for, as stderr always does."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def shown(text: object, style: str = "", limit: int = 200) -> Text:
    """Untrusted text, escaped, on one line; a dash if it is empty."""
    if text is None or text == "":
        return Text("-", style="dim")
    return Text(plain(str(text), limit), style=style)


def number(value: int | None, style: str = "") -> Text:
    """A count with thousands separators; zero is dimmed, None is a dash."""
    if value is None:
        return Text("-", style="dim")
    return Text(f"{value:,}", style=style if value else "dim")


def moment(value: datetime | None, zone: ZoneInfo, form: str = "%Y-%m-%d %H:%M") -> Text:
    """The time in `zone`; a dash for None."""
    return Text("-", style="dim") if value is None else Text(value.astimezone(zone).strftime(form))


def short_moment(value: datetime | None, zone: ZoneInfo) -> Text:
    """The time in `zone` without the year if that is the current one."""
    this_year = value is not None and value.astimezone(zone).year == datetime.now(zone).year
    return moment(value, zone, "%m-%d %H:%M" if this_year else "%Y-%m-%d %H:%M")


def zone_name(zone: ZoneInfo) -> str:
    """Short form for a header: Berlin, not Europe/Berlin."""
    return zone.key.rpartition("/")[2].replace("_", " ")


def print_message(text: str, style: str = "dim") -> None:
    """Print one line on stderr."""
    err.print(Text(text, style=style), soft_wrap=True)


def print_error(text: str) -> None:
    """Print the error that ended the command on stderr."""
    err.print(Text.assemble(("✘ ", "bold red"), (text, "default")), soft_wrap=True)


def print_traceback(error: BaseException) -> None:
    """Print where an error came from on stderr; its text may quote a record, so control characters are escaped."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        err.print(Text(plain(line, 1000)), soft_wrap=True)


def confirm(question: str, yes: bool) -> None:
    """Prompt for confirmation unless `yes` is set. Raises OperatorError if the answer is not yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise OperatorError(f"{question} No terminal can prompt for confirmation. Use --yes to confirm.")
    if read_line(f"{question} [y/N] ").lower() not in ("y", "yes"):
        raise OperatorError("Nothing was changed.")


def read_line(prompt: str, *, hidden: bool = False) -> str:
    """Read a line of input, trimmed; Ctrl-C interrupts it."""
    signal.siginterrupt(signal.SIGINT, True)  # with the handler of polars, the system restarts an interrupted read
    if hidden:
        return getpass(prompt).strip()
    err.print(Text(prompt), end="")
    return sys.stdin.readline().strip()


def print_json(data: Any) -> None:
    """Print data on stdout: times in ISO 8601, non-ASCII characters escaped."""
    sys.stdout.write(json.dumps(data, indent=2, default=_value) + "\n")


def _value(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def show_progress(description: str, *, briefly: bool = False) -> Iterator[Callable[[str], None]]:
    """Show progress while the block runs; call the yielded function to change the description.

    `briefly`: it usually takes a moment, so without a terminal its first line is printed after some seconds.
    """
    if err.is_terminal:
        with _spinner(description) as change:
            yield change
    else:
        with _lines(description, silent=briefly) as change:
            yield change


def show_reading_progress() -> AbstractContextManager[Callable[[str], None]]:
    """Show progress while the published tables are read."""
    return show_progress("Reading the tables", briefly=True)


@contextmanager
def _spinner(description: str) -> Iterator[Callable[[str], None]]:
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(description, total=None)
        yield lambda text: progress.update(task, description=text)


@contextmanager
def _lines(description: str, *, silent: bool) -> Iterator[Callable[[str], None]]:
    current, ended, seconds = [description], threading.Event(), [0.0]

    def change(text: str) -> None:
        current[0] = text
        print_message(f"{text} …")

    def repeat() -> None:
        while not ended.wait(PROGRESS_INTERVAL):
            seconds[0] += PROGRESS_INTERVAL
            print_message(f"{current[0]} … {seconds[0]:.0f} s")

    if not silent:
        change(description)
    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield change
    finally:
        ended.set()
        thread.join()


class LogLines(logging.Handler):
    """Prints the project's log above the spinner."""

    def emit(self, record: logging.LogRecord) -> None:
        text = plain(record.getMessage(), 1000)
        if record.levelno >= logging.ERROR:
            err.print(Text.assemble(("✘ ", "bold red"), text), soft_wrap=True)
        elif record.levelno >= logging.WARNING:
            err.print(Text.assemble(("▲ ", "yellow"), text), soft_wrap=True)
        else:
            err.print(Text(f"  {text}", style="dim"), soft_wrap=True)


def show_log() -> None:
    """Print the project's log on stderr from now on."""
    log = logging.getLogger("attachment_alerts")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not any(isinstance(handler, LogLines) for handler in log.handlers):
        log.addHandler(LogLines())
