"""What runs a pull: starts its slices in threads and receives its progress. Prefect is one such engine."""

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
    """The result of a complete slice. Small, because an engine may hold it until the run ends."""

    report: coverage.Report
    loaded: Loaded
    low: int
    unseen: tuple[str, ...]
    leftover: tuple[str, ...]
    seconds: dict[str, float]
    """duration of each stage, in the load without the wait for other loads"""


class SliceFuture(Protocol):
    """The part of Prefect's futures and of `concurrent.futures` that is used."""

    def result(self) -> SliceResult: ...
    def add_done_callback(self, fn: Callable[[Any], None], /) -> None: ...


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Engine:
    """Only `submit` is required."""

    submit: Callable[[Slice, Callable[[], SliceResult]], SliceFuture]
    """starts the work of a slice in another thread"""
    flow_run_id: str | None = None
    is_scheduled: bool = False
    """whether a schedule created the run"""
    on_window: Callable[[Sequence[Interval]], None] = _ignore
    """called once with the intervals to fetch"""
    on_progress: Callable[[int, int], None] = _ignore
    """called at the start and after each slice with the number of finished slices and of all slices"""
    on_end: Callable[[Store, Source, Trigger, RunStats], None] = _ignore
    """called when all slices are recorded"""
