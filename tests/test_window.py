"""Windows, slices and coverage: rules about all inputs, so property tests."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.settings import Settings
from tasks.window import (
    Interval,
    Progress,
    backfill_window,
    cut_back,
    merge,
    poll_window,
    present_time,
    recheck_window,
    split_into_slices,
    subtract,
    watermark,
    whole_second,
)

SETTINGS = Settings()
ORIGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

minutes = st.integers(0, 20_000).map(lambda n: ORIGIN + n * MINUTE)
intervals = st.lists(st.tuples(minutes, minutes).map(lambda pair: Interval(*sorted(pair))), max_size=8)


def points(stretches: list[Interval]) -> set[int]:
    """Minutes that the stretches cover, as numbers since the origin."""
    return {
        minute for each in stretches for minute in range((each.start - ORIGIN) // MINUTE, (each.end - ORIGIN) // MINUTE)
    }


def progress(*coverage: Interval, rechecked_at: datetime = ORIGIN) -> Progress:
    return Progress(ORIGIN, list(coverage), rechecked_at)


@given(intervals)
def test_merging_keeps_the_points_and_leaves_nothing_touching(some: list[Interval]) -> None:
    merged = merge(some)
    assert points(merged) == points(some)
    assert all(before.end < after.start for before, after in pairwise(merged))


@given(minutes, minutes, intervals)
def test_subtraction_is_set_difference(one: datetime, other: datetime, covered: list[Interval]) -> None:
    window = Interval(*sorted((one, other)))
    assert points(subtract(window, covered)) == points([window]) - points(covered)


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_the_watermark_follows_from_the_intervals_in_any_order_of_finishing(order: list[int], failed: set[int]) -> None:
    slices = [Interval(ORIGIN + n * HOUR, ORIGIN + (n + 1) * HOUR) for n in range(6)]
    coverage: list[Interval] = []
    for n in order:
        if n not in failed:
            coverage = merge([*coverage, slices[n]])
    assert watermark(ORIGIN, coverage) == ORIGIN + min(failed, default=6) * HOUR


@given(intervals, st.integers(0, 30_000))
def test_a_poll_reaches_every_uncovered_minute_and_the_overlap(some: list[Interval], age: int) -> None:
    now = ORIGIN + age * MINUTE
    known = progress(*merge(some))
    fetched = points(poll_window(known, now, SETTINGS))
    mark = watermark(ORIGIN, known.coverage)
    end = max(0, (now - SETTINGS.settle - ORIGIN) // MINUTE)
    assert set(range((mark - ORIGIN) // MINUTE, end)) - points(some) <= fetched
    behind = max(0, (mark - SETTINGS.overlap - ORIGIN) // MINUTE)
    assert set(range(behind, min(end, (mark - ORIGIN) // MINUTE))) <= fetched
    assert not fetched or max(fetched) < end


@given(intervals, st.integers(1, 30_000))
def test_slices_are_the_window_cut_on_one_grid(some: list[Interval], hours: int) -> None:
    settings = Settings(slice_hours=hours % 168 + 1)
    slices = split_into_slices(merge(some), "poll", settings)
    assert points([Interval(each.start, each.end) for each in slices]) == points(some)
    assert all(timedelta(0) < each.end - each.start <= settings.slice_length for each in slices)
    inner = {each.end for each in slices} & {each.start for each in slices}
    assert all((edge - datetime(1970, 1, 1, tzinfo=UTC)) % settings.slice_length == timedelta(0) for edge in inner)


def test_a_failed_slice_is_fetched_again_without_the_later_ones() -> None:
    known = progress(Interval(ORIGIN, ORIGIN + 6 * HOUR), Interval(ORIGIN + 12 * HOUR, ORIGIN + 18 * HOUR))
    now = ORIGIN + 18 * HOUR + timedelta(minutes=11)
    assert poll_window(known, now, SETTINGS) == [
        Interval(ORIGIN + 5 * HOUR, ORIGIN + 12 * HOUR),
        Interval(ORIGIN + 17 * HOUR, ORIGIN + 18 * HOUR + timedelta(minutes=10)),
    ]


def test_the_recheck_is_due_once_a_day_and_leaves_out_what_the_poll_fetches() -> None:
    covered = Interval(ORIGIN, ORIGIN + 100 * HOUR)
    now = ORIGIN + 100 * HOUR + timedelta(minutes=16)
    end = ORIGIN + 100 * HOUR + timedelta(minutes=15)
    due = progress(covered, rechecked_at=now - 24 * HOUR)
    assert recheck_window(due, now, SETTINGS) == [Interval(end - 72 * HOUR, ORIGIN + 99 * HOUR)]
    assert recheck_window(progress(covered, rechecked_at=now - 23 * HOUR), now, SETTINGS) == []


def test_a_backfill_of_missing_time_leaves_out_what_is_covered() -> None:
    known = progress(Interval(ORIGIN, ORIGIN + 6 * HOUR))
    asked = Interval(ORIGIN - HOUR, ORIGIN + 8 * HOUR)
    now = ORIGIN + 100 * HOUR
    assert backfill_window(known, asked, "missing", now, SETTINGS) == [
        Interval(ORIGIN - HOUR, ORIGIN),
        Interval(ORIGIN + 6 * HOUR, ORIGIN + 8 * HOUR),
    ]
    assert backfill_window(known, asked, "everything", now, SETTINGS) == [asked]


def test_a_window_given_by_hand_ends_before_the_newest_minute() -> None:
    now = ORIGIN + 2 * HOUR
    asked = Interval(ORIGIN, ORIGIN + 9 * HOUR)
    assert backfill_window(progress(), asked, "everything", now, SETTINGS) == [Interval(ORIGIN, now - SETTINGS.settle)]


def test_a_time_without_a_zone_is_utc() -> None:
    assert whole_second(datetime(2026, 3, 1, 12, 0, 0, 999)) == datetime(2026, 3, 1, 12, tzinfo=UTC)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("offset", "now", "covers_until", "doubtful"),
    [
        (None, 0, 0, False),
        (5, 0, 0, False),
        (-5, 0, 0, False),
        (6, 6, 0, False),
        (-6, -6, -6, False),
        (300, 300, 0, False),
        (-300, -300, -300, False),
        (301, 0, 0, True),
        (-301, 0, -301, True),
        (10**10, 0, 0, True),
        (-(10**9), 0, 0, True),  # a server without a clock
    ],
)
def test_present_time_by_two_clocks(offset: int | None, now: int, covers_until: int, doubtful: bool) -> None:
    found = present_time(ORIGIN, None if offset is None else timedelta(seconds=offset))
    assert (found.now - ORIGIN).total_seconds() == now
    assert (found.covers_until - ORIGIN).total_seconds() == covers_until
    assert found.is_doubtful is doubtful


class Turn(NamedTuple):
    """A poll after `gap` minutes. One of the clocks may be wrong, by minutes; the service may not report its time."""

    gap: int
    machine: int = 0
    service: int = 0
    jump: int = 0
    """minutes by which the machine's clock changes while the poll runs"""
    reported: bool = True


DAYS = 24 * 60
errors = st.integers(-10, 10) | st.integers(-90 * DAYS, 90 * DAYS)
gaps = st.integers(1, 2 * DAYS)
turns = st.one_of(
    gaps.map(Turn),
    st.tuples(gaps, errors).map(lambda drawn: Turn(drawn[0], machine=drawn[1])),
    st.tuples(gaps, errors).map(lambda drawn: Turn(drawn[0], service=drawn[1])),
    st.tuples(gaps, errors).map(lambda drawn: Turn(drawn[0], jump=drawn[1])),
    st.tuples(gaps, st.integers(-DAYS, 0)).map(lambda drawn: Turn(drawn[0], machine=drawn[1], reported=False)),
)


class Connector:
    """A connector whose service has records all the time, as a run uses the functions of `window`."""

    def __init__(self) -> None:
        self.progress = progress()
        self.true_now = ORIGIN
        self.loaded: list[Interval] = []

    def poll(self, turn: Turn) -> None:
        self.true_now += turn.gap * MINUTE
        machine = self.true_now + turn.machine * MINUTE
        offset = (turn.service - turn.machine) * MINUTE if turn.reported else None
        present = present_time(machine, offset)
        if max([self.progress.rechecked_at, *(end for _, end in self.progress.coverage)]) > machine:
            self.progress = cut_back(self.progress, machine, machine)
        windows = poll_window(self.progress, present.now, SETTINGS)
        recheck = recheck_window(self.progress, present.now, SETTINGS)
        happened = [Interval(start, min(end, self.true_now)) for start, end in (*windows, *recheck)]
        self.loaded = merge([*self.loaded, *happened])
        at_load = machine + turn.jump * MINUTE
        until = min(present.covers_until - SETTINGS.settle, at_load)
        claimed = [Interval(start, min(end, until)) for start, end in windows]
        rechecked_at = min(present.now, at_load) if recheck else self.progress.rechecked_at
        self.progress = Progress(ORIGIN, merge([*self.progress.coverage, *claimed]), rechecked_at)
        assert watermark(ORIGIN, self.progress.coverage) <= max(ORIGIN, machine, at_load)


lasting = st.tuples(turns, st.integers(1, 4)).map(lambda drawn: [drawn[0]] * drawn[1])


@settings(max_examples=80, deadline=None)
@given(st.lists(lasting, max_size=4))
def test_every_record_is_loaded_whatever_the_clocks_did(sequences: list[list[Turn]]) -> None:
    connector = Connector()
    for turn in (turn for sequence in sequences for turn in sequence):
        connector.poll(turn)
    connector.poll(Turn(gap=15))
    connector.poll(Turn(gap=15))
    assert subtract(Interval(ORIGIN, connector.true_now - SETTINGS.settle), connector.loaded) == []
    assert connector.progress.rechecked_at <= connector.true_now
    assert watermark(ORIGIN, connector.progress.coverage) <= connector.true_now
