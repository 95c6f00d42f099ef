"""The command as a test calls it: in this process, with what it leaves behind taken back."""

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
    """What a call came to."""

    status: int
    out: str
    err: str


class Command:
    """Calls the command; `width` is that of the terminal it believes to have."""

    width = WIDE

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        with _as_before(), mock.patch.object(terminal.out, "_width", self.width):
            status = _status(arguments)
        said = self._capsys.readouterr()
        return Ran(status, said.out, said.err)


def _status(arguments: Sequence[str]) -> int:
    # Not by pytest.raises: what it keeps would hold every frame below, DuckDB's objects included, until the very end.
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("the command did not leave by SystemExit")


@contextmanager
def _as_before() -> Iterator[None]:
    """Environment, umask and logging as they were."""
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
