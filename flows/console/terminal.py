"""What the terminal shows: data on stdout, everything about the work on stderr.

Text that strangers wrote reaches a console only through `shown`; the consoles read no markup, so a file name cannot
style, link or erase anything.
"""

import json
import logging
import os
import signal
import sys
import threading
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

NOT_A_TERMINAL = 160  # columns where nobody can say how many there are: a pipe, a job's log
SIGN_OF_LIFE = 5.0  # seconds between two lines where no spinner can turn

PRIORITY = {"high": "bold red", "medium": "yellow", "low": "dim"}
SYMBOL = {"ok": ("✔", "green"), "warning": ("▲", "yellow"), "failed": ("✘", "bold red"), "skipped": ("-", "dim")}


def _width() -> int | None:
    known = "COLUMNS" in os.environ or any(os.isatty(number) for number in (0, 1, 2))
    return None if known else NOT_A_TERMINAL


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=_width())


out = _console(stderr=False)
err = _console(stderr=True)


def shown(text: object, style: str = "", limit: int = 200) -> Text:
    """Anybody's text as one harmless line; nothing is shown as a dash."""
    if text is None or text == "":
        return Text("-", style="dim")
    return Text(plain(str(text), limit), style=style)


def number(value: int | None, style: str = "") -> Text:
    """A count with thousands separated; zero steps back, unknown is a dash."""
    if value is None:
        return Text("-", style="dim")
    return Text(f"{value:,}", style=style if value else "dim")


def moment(value: datetime | None, zone: ZoneInfo, form: str = "%Y-%m-%d %H:%M") -> Text:
    """A point in time as a clock in `zone` shows it."""
    return Text("-", style="dim") if value is None else Text(value.astimezone(zone).strftime(form))


def short_moment(value: datetime | None, zone: ZoneInfo) -> Text:
    """The same without its year, where that is this one."""
    this = value is not None and value.astimezone(zone).year == datetime.now(zone).year
    return moment(value, zone, "%m-%d %H:%M" if this else "%Y-%m-%d %H:%M")


def zone_name(zone: ZoneInfo) -> str:
    """Short enough for a header: Berlin, not Europe/Berlin."""
    return zone.key.rpartition("/")[2].replace("_", " ")


def say(text: str, style: str = "dim") -> None:
    """One line about the work, on stderr."""
    err.print(Text(text, style=style), soft_wrap=True)


def fail(text: str) -> None:
    """The line on stderr that says why the command did not do what was asked."""
    err.print(Text.assemble(("✘ ", "bold red"), (text, "default")), soft_wrap=True)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless `yes` answers already. Raises OperatorError on any other answer than yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise OperatorError(f"{question} There is no terminal to ask. Say --yes if you mean it.")
    if read_line(f"{question} [y/N] ").lower() not in ("y", "yes"):
        raise OperatorError("Nothing was changed.")


def read_line(prompt: str, *, hidden: bool = False) -> str:
    """The line that a person types, trimmed; Ctrl-C ends it."""
    signal.siginterrupt(signal.SIGINT, True)  # polars lets the system go on with a read that was interrupted
    if hidden:
        return getpass(prompt).strip()
    err.print(Text(prompt), end="")
    return sys.stdin.readline().strip()


def print_json(data: Any) -> None:
    """Data for other programs on stdout: times in ISO 8601, everything but ASCII escaped."""
    sys.stdout.write(json.dumps(data, indent=2, default=_value) + "\n")


def _value(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def working(says: str, *, briefly: bool = False) -> Iterator[Callable[[str], None]]:
    """A sign of life while the block runs; call what it yields to say something else.

    `briefly`: it is over in a moment as a rule; a job's log need not know.
    """
    if err.is_terminal:
        with _spinner(says) as change:
            yield change
    else:
        with _lines(says, silent=briefly) as change:
            yield change


def reading() -> AbstractContextManager[Callable[[str], None]]:
    """A sign of life while the published file is asked."""
    return working("Reading the tables", briefly=True)


@contextmanager
def _spinner(says: str) -> Iterator[Callable[[str], None]]:
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(says, total=None)
        yield lambda text: progress.update(task, description=text)


@contextmanager
def _lines(says: str, *, silent: bool) -> Iterator[Callable[[str], None]]:
    now, over, seconds = [says], threading.Event(), [0.0]

    def change(text: str) -> None:
        now[0] = text
        say(f"{text} …")

    def live() -> None:
        while not over.wait(SIGN_OF_LIFE):
            seconds[0] += SIGN_OF_LIFE
            say(f"{now[0]} … {seconds[0]:.0f} s")

    if not silent:
        change(says)
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        yield change
    finally:
        over.set()
        thread.join()


class LogLines(logging.Handler):
    """The project's own log as lines above the spinner."""

    def emit(self, record: logging.LogRecord) -> None:
        text = plain(record.getMessage(), 1000)
        if record.levelno >= logging.ERROR:
            err.print(Text.assemble(("✘ ", "bold red"), text), soft_wrap=True)
        elif record.levelno >= logging.WARNING:
            err.print(Text.assemble(("▲ ", "yellow"), text), soft_wrap=True)
        else:
            err.print(Text(f"  {text}", style="dim"), soft_wrap=True)


def show_log() -> None:
    """Show the project's log on stderr from now on."""
    log = logging.getLogger("attachment_alerts")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not any(isinstance(handler, LogLines) for handler in log.handlers):
        log.addHandler(LogLines())
