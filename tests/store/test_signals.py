"""A signal that meets the database at work means what its handler says, whoever has set the handler."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from tasks.store.store import Store

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
def test_long_query_raises_exception_of_signal_handler(
    handled: None, store: Store, number: signal.Signals, means: type[BaseException]
) -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    with pytest.raises(means), store.transaction() as transaction:
        transaction.run(LONG)
    assert signal.getsignal(signal.SIGTERM) is cancel
    with store.transaction() as transaction:  # nothing is locked, and the file is whole
        assert transaction.rows("SELECT 1") == [(1,)]


def test_exception_sent_to_main_thread_ends_query(store: Store) -> None:
    """As Prefect ends a run that has lost its concurrency slot."""
    main = ctypes.c_ulong(threading.main_thread().ident or 0)
    send = ctypes.pythonapi.PyThreadState_SetAsyncExc
    threading.Timer(0.3, send, (main, ctypes.py_object(Cancelled))).start()
    with pytest.raises(Cancelled), store.transaction() as transaction:
        transaction.run(LONG)
    with store.transaction() as transaction:
        assert transaction.rows("SELECT 1") == [(1,)]


def test_query_of_another_thread_continues(handled: None, store: Store) -> None:
    answers: list[object] = []

    def ask() -> None:
        with store.transaction() as transaction:
            transaction.rows("SELECT count(*) FROM range(1000) a, range(1000) b")
            answers.append(transaction.rows("SELECT 1"))

    other = threading.Thread(target=ask)
    other.start()
    with pytest.raises(Cancelled):
        os.kill(os.getpid(), signal.SIGTERM)
        other.join()
    other.join()
    assert answers == [[(1,)]]
