"""What a pull needs of whatever runs it: threads for its slices, and somebody to inform. Prefect is one such engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tasks.ingest import coverage
from tasks.ingest.load import Loaded
from tasks.ingest.run_stats import RunStats
from tasks.source import Source
from tasks.store.store import Store
from tasks.window import Interval, Slice, Trigger


class SliceResult(NamedTuple):
    """What became of a complete slice. Small: an engine may keep it until the run ends."""

    report: coverage.Report
    loaded: Loaded
    low: int
    unseen: tuple[str, ...]
    leftover: tuple[str, ...]
    seconds: dict[str, float]
    """duration of each stage; that of the load without the wait for other loads"""


class SliceFuture(Protocol):
    """What the futures of Prefect and of `concurrent.futures` have in common."""

    def result(self) -> SliceResult: ...
    def add_done_callback(self, fn: Callable[[Any], None], /) -> None: ...


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Engine:
    """All but `submit` is optional."""

    submit: Callable[[Slice, Callable[[], SliceResult]], SliceFuture]
    """start the work of a slice in another thread"""
    flow_run_id: str | None = None
    on_window: Callable[[Sequence[Interval]], None] = _ignore
    """called once, with the time to fetch"""
    on_progress: Callable[[int, int], None] = _ignore
    """called at the beginning and after each slice with the number of slices that have ended, and of all"""
    on_end: Callable[[Store, Source, Trigger, RunStats], None] = _ignore
    """called when all slices are recorded"""
