"""Which stretch of time a run owns: half-open intervals in whole UTC seconds (design: Time, Coverage).

Pure functions: no clock, no network, no database.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from tasks.settings import Settings

Trigger = Literal["poll", "backfill", "recheck"]
What = Literal["missing", "everything"]

RECHECK_EVERY = timedelta(hours=24)


class Interval(NamedTuple):
    """`[start, end)`"""

    start: datetime
    end: datetime


class Slice(NamedTuple):
    """A piece of a window: fetched, loaded and covered as one."""

    start: datetime
    end: datetime
    trigger: Trigger


class Progress(NamedTuple):
    """What the store knows of a connector when a run begins."""

    origin: datetime
    coverage: list[Interval]
    rechecked_at: datetime
    """when the last complete re-check began; at first the moment of the first poll"""


def whole_second(moment: datetime) -> datetime:
    """`moment` in UTC, cut to the second. A time without a zone is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(microsecond=0)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same stretches as sorted, disjoint, non-touching intervals; empty ones are left out."""
    merged: list[Interval] = []
    for each in sorted(i for i in intervals if i.start < i.end):
        if merged and each.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, each.end))
        else:
            merged.append(Interval(*each[:2]))
    return merged


def subtract(window: Interval, covered: Iterable[Interval]) -> list[Interval]:
    """The parts of `window` that no interval of `covered` touches, in order."""
    left, rest = [], window.start
    for each in merge(covered):
        if each.end <= rest or each.start >= window.end:
            continue
        if each.start > rest:
            left.append(Interval(rest, each.start))
        rest = max(rest, each.end)
    return [*left, *([Interval(rest, window.end)] if rest < window.end else [])]


def watermark(origin: datetime, coverage: Iterable[Interval]) -> datetime:
    """End of the unbroken covered stretch that begins at the origin; the origin itself when nothing is covered."""
    return next((each.end for each in merge(coverage) if each.start <= origin <= each.end), origin)


def poll_window(progress: Progress, now: datetime, settings: Settings) -> list[Interval]:
    """`[watermark - overlap, now - settle)` less what later slices cover already.

    Of each later stretch its last `overlap` is read again as well: late rows may still have come there.
    """
    mark = watermark(progress.origin, progress.coverage)
    window = Interval(max(progress.origin, mark - settings.overlap), whole_second(now) - settings.settle)
    later = [Interval(each.start, each.end - settings.overlap) for each in progress.coverage if each.start > mark]
    return subtract(window, later)


def recheck_window(progress: Progress, now: datetime, settings: Settings) -> list[Interval]:
    """Covered time of the last `recheck` hours, once a day; empty when it is not due.

    Verdicts, releases and late rows arrive later than any overlap. What this poll fetches anyway is left out.
    """
    if not settings.recheck or now - progress.rechecked_at < RECHECK_EVERY:
        return []
    end = whole_second(now) - settings.settle
    start = max(progress.origin, end - settings.recheck)
    return subtract(Interval(start, end), poll_window(progress, now, settings))


def backfill_window(
    progress: Progress, asked: Interval, what: What, now: datetime, settings: Settings
) -> list[Interval]:
    """The part of `asked` that a backfill fetches: all of it, or only what is not covered yet."""
    window = Interval(whole_second(asked.start), min(whole_second(asked.end), whole_second(now) - settings.settle))
    return subtract(window, progress.coverage if what == "missing" else [])


def split_into_slices(windows: Iterable[Interval], trigger: Trigger, settings: Settings) -> list[Slice]:
    """Slices of at most `slice_hours`, cut on the same grid in every run, so that a retry meets the same slice."""
    step = settings.slice_length
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    slices = []
    for start, end in windows:
        while start < end:
            edge = min(end, epoch + ((start - epoch) // step + 1) * step)
            slices.append(Slice(start, edge, trigger))
            start = edge  # noqa: PLW2901 - walks through the window
    return slices
