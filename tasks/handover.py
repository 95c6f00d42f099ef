"""How soon a thread that waits for Python gets it.

A thread that loads gives Python up some 600 times in each slice, at the steps of DuckDB and polars, and asks for it
again after each. One that decodes pages keeps it for a whole interval each time: with Python's own 5 ms, a backfill
waits a tenth of its time for that.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL = 0.0001  # seconds


@contextmanager
def prompt_handover() -> Iterator[None]:
    """Threads hand Python over promptly while the block runs."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
