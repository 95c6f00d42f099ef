"""Call the command in this process, and restore the environment, umask and logging afterwards."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import pytest

from flows.cli.app import main
from flows.console import terminal

WIDE, NARROW, NARROWEST = 160, 100, 80


class Ran(NamedTuple):
    """Exit status and output of a call."""

    status: int
    out: str
    err: str


class Command:
    """Calls the command; `width` is that of its simulated terminal."""

    width = WIDE

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        with _restored(), _width(self.width):
            status = _status(arguments)
        output = self._capsys.readouterr()
        return Ran(status, output.out, output.err)


def _status(arguments: Sequence[str]) -> int:
    # Not with pytest.raises, which keeps a reference to every frame below, with the objects of DuckDB.
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("the command did not end with SystemExit")


@contextmanager
def _width(columns: int) -> Iterator[None]:
    before, terminal.out.width = terminal.out.width, columns
    try:
        yield
    finally:
        terminal.out.width = before


@contextmanager
def _restored() -> Iterator[None]:
    """Restore environment, umask and logging."""
    log = logging.getLogger("attachment_alerts")
    handlers, level, propagate = list(log.handlers), log.level, log.propagate
    umask = os.umask(0o022)
    os.umask(umask)
    with mock.patch.dict(os.environ):
        try:
            yield
        finally:
            os.umask(umask)
            log.handlers[:], log.propagate = handlers, propagate
            log.setLevel(level)
