"""Interrupt a running query from the main thread, and raise what interrupted it.

DuckDB looks for signals while it runs a query in the main thread, but it drops what their handlers raise and reports
`Query interrupted` instead. Ctrl-C, a cancellation in the Prefect UI, the stop of a service and the loss of a run's
concurrency slot are exceptions of their own, though, and callers have to tell them apart.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

T = TypeVar("T")

STEP = 0.1  # seconds; Prefect raises the loss of a slot in the main thread, which notices that only between two waits

# One thread is enough: only the main thread uses it, one query at a time.
_QUERY_THREAD = ThreadPoolExecutor(1, thread_name_prefix="query")


class Interruptible(Protocol):
    """A DuckDB connection."""

    def interrupt(self) -> None: ...


def run_interruptibly(connection: Interruptible, query: Callable[[], T]) -> T:
    """Run a query on this connection. An exception in the waiting main thread ends the query and is raised.

    Python handles signals in the main thread only, so that the query runs in another thread meanwhile. In all other
    threads it is called directly.
    """
    if threading.current_thread() is not threading.main_thread():
        return query()
    running = _QUERY_THREAD.submit(query)
    try:
        while not wait([running], timeout=STEP).done:
            pass
    finally:
        while not running.done():  # an exception has ended the wait for it
            connection.interrupt()  # repeated, because it has no effect before the query has begun
            wait([running], timeout=STEP)
    return running.result()
