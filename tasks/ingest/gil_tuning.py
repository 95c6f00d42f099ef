"""How Python shares a process among threads that decode and load: by itself it goes about that for programs that wait.

- A thread that loads gives Python up some 600 times in each slice, at the steps of DuckDB and polars, and asks for it
  again after each. One that decodes pages keeps it for a whole interval each time: with Python's own 5 ms, a backfill
  waits a tenth of its time for that.
- Records come and go by the thousand, and nearly none of them is ever garbage that refers to itself: with Python's own
  700 new objects between two looks for such, a backfill spends another twentieth on looking.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL = 0.0001  # seconds
OBJECTS = 50_000


@contextmanager
def brisk() -> Iterator[None]:
    """Threads hand Python over promptly, and the collector looks seldom, while the block runs."""
    interval, (objects, *others) = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(INTERVAL)
    gc.set_threshold(OBJECTS, *others)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(objects, *others)
