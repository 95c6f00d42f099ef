"""A signal that meets the database at work means what its handler says, whoever has set the handler."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import polars as pl
import pytest

from tasks.store.store import Store
from tests.scans import begun

LONG = "SELECT sum(hash(range)) FROM range(1_000_000_000_000)"


class Cancelled(BaseException):
    """As Prefect raises one of its own in a run that somebody cancels."""


def cancel(number: int, frame: FrameType | None) -> None:
    raise Cancelled


@pytest.fixture
def handled() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, cancel)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "means"), [(signal.SIGTERM, Cancelled), (signal.SIGINT, KeyboardInterrupt)])
def test_a_long_query_ends_as_the_handler_says(
    handled: None, store: Store, number: signal.Signals, means: type[BaseException]
) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    with pytest.raises(means), store.transaction() as transaction:
        transaction.run(LONG)
    assert signal.getsignal(signal.SIGTERM) is cancel
    with store.transaction() as transaction:  # nothing is locked, and the file is whole
        assert transaction.rows("SELECT 1") == [(1,)]


def test_what_reaches_python_that_duckdb_calls_is_no_error_of_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(frame: pl.DataFrame, schema: object) -> object:
        raise Cancelled  # as Prefect raises it in the middle of anything, when a run has lost its slot

    monkeypatch.setattr(pl.DataFrame, "__arrow_c_stream__", stream)
    with pytest.raises(Cancelled), store.transaction() as transaction:
        transaction.run("CREATE TEMP TABLE t AS SELECT * FROM given", given=pl.DataFrame({"a": [1]}))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path)
