"""Which period a run fetches: half-open intervals in whole UTC seconds.

Pure functions: no clock, no network, no database.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from tasks.settings import Settings

Trigger = Literal["poll", "backfill", "recheck"]
What = Literal["missing", "everything"]

RECHECK_EVERY = timedelta(hours=24)
CLOCK_TOLERANCE = timedelta(seconds=5)
CLOCK_BOUND = timedelta(minutes=5)
NO_CLOCK = timedelta(days=400)
"""a server that is so far behind has no clock at all"""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(NamedTuple):
    """`[start, end)`"""

    start: datetime
    end: datetime


class Slice(NamedTuple):
    """A part of a window that is fetched, loaded and covered as a unit."""

    start: datetime
    end: datetime
    trigger: Trigger


class Progress(NamedTuple):
    """What a connector has fetched when a run begins."""

    origin: datetime
    coverage: list[Interval]
    rechecked_at: datetime
    """start of the last complete re-check; before the first one, of the first poll"""


class Present(NamedTuple):
    """The present time of a run."""

    now: datetime
    """windows end here, less the settle time"""
    covers_until: datetime
    """passed by both clocks: no coverage ends later"""
    offset: timedelta = timedelta()
    """the service's clock minus this machine's"""

    @property
    def is_corrected(self) -> bool:
        return CLOCK_TOLERANCE < abs(self.offset) <= CLOCK_BOUND

    @property
    def is_doubtful(self) -> bool:
        """Whether the clocks differ by more than is believed."""
        return abs(self.offset) > CLOCK_BOUND


def present_time(machine: datetime, offset: timedelta | None) -> Present:
    """The present time by this machine's clock and its `offset` to the service's, None if that is not known.

    A window may reach too far, because a later one reads the same time again. Coverage may not: nothing would.
    """
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return Present(machine, machine)
    both = machine if offset < -NO_CLOCK else min(machine, machine + offset)
    return Present(machine + offset if abs(offset) <= CLOCK_BOUND else machine, both, offset)


def cut_back(progress: Progress, limit: datetime, now: datetime) -> Progress:
    """The progress without coverage after `limit`, and with a re-check due at once."""
    coverage = merge(Interval(start, min(end, whole_second(limit))) for start, end in progress.coverage)
    rechecked_at = min(progress.rechecked_at, now - RECHECK_EVERY - CLOCK_BOUND)
    return Progress(progress.origin, coverage, rechecked_at)


def whole_second(moment: datetime) -> datetime:
    """`moment` in UTC, truncated to the second. A time without a zone is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(microsecond=0)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same periods as sorted, disjoint, non-touching intervals; empty ones are dropped."""
    merged: list[Interval] = []
    for interval in sorted(interval for interval in intervals if interval.start < interval.end):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return merged


def subtract(window: Interval, covered: Iterable[Interval]) -> list[Interval]:
    """The parts of `window` outside of `covered`, in order."""
    uncovered, start = [], window.start
    for interval in merge(covered):
        if interval.end <= start or interval.start >= window.end:
            continue
        if interval.start > start:
            uncovered.append(Interval(start, interval.start))
        start = max(start, interval.end)
    return [*uncovered, *([Interval(start, window.end)] if start < window.end else [])]


def watermark(origin: datetime, coverage: Iterable[Interval]) -> datetime:
    """End of the contiguous coverage that starts at the origin; the origin itself if nothing there is covered."""
    return next((end for start, end in merge(coverage) if start <= origin <= end), origin)


def poll_window(progress: Progress, now: datetime, settings: Settings) -> list[Interval]:
    """`[watermark - overlap, now - settle)` minus later coverage.

    The last `overlap` of each later covered interval is read again as well, because late rows may have arrived there.
    """
    mark = watermark(progress.origin, progress.coverage)
    window = Interval(max(progress.origin, mark - settings.overlap), whole_second(now) - settings.settle)
    later = [Interval(start, end - settings.overlap) for start, end in progress.coverage if start > mark]
    return subtract(window, later)


def recheck_window(progress: Progress, now: datetime, settings: Settings) -> list[Interval]:
    """The last `recheck` hours, once a day, without what this poll fetches anyway; empty if not due.

    Verdicts, releases and late rows may arrive later than any overlap.
    """
    if not settings.recheck or now - progress.rechecked_at < RECHECK_EVERY:
        return []
    end = whole_second(now) - settings.settle
    start = max(progress.origin, end - settings.recheck)
    return subtract(Interval(start, end), poll_window(progress, now, settings))


def backfill_window(
    progress: Progress, requested: Interval, what: What, now: datetime, settings: Settings
) -> list[Interval]:
    """The part of `requested` that a backfill fetches: all of it, or only what is not covered yet."""
    window = Interval(
        whole_second(requested.start), min(whole_second(requested.end), whole_second(now) - settings.settle)
    )
    return subtract(window, progress.coverage if what == "missing" else [])


def split_into_slices(windows: Iterable[Interval], trigger: Trigger, settings: Settings) -> list[Slice]:
    """Slices of at most `slice_hours` on a fixed grid, so that every run cuts the same slices."""
    step = settings.slice_length
    slices = []
    for start, end in windows:
        while start < end:
            edge = min(end, EPOCH + ((start - EPOCH) // step + 1) * step)
            slices.append(Slice(start, edge, trigger))
            start = edge  # noqa: PLW2901 - walks through the window
    return slices
