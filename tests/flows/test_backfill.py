"""Backfills: which time they fetch, and that stopping or killing one loses and doubles nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows import slices
from flows.slices import Pull
from tasks.mimecast.simulator.incoming import LOGS_PATH
from tests.flows.conftest import MakeSite
from tests.flows.site import Site, hours, noon, same, scan

HOUR = timedelta(hours=1)


def asked(site: Site) -> list[tuple[datetime, datetime]]:
    """The stretches that listings were asked for since the last call, in order of time."""
    bodies = [each.body["data"][0] for each in site.simulator.requests if each.path == LOGS_PATH]
    site.simulator.requests.clear()
    return sorted({(moment(body["from"]), moment(body["to"])) for body in bodies})


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)


def each_once(site: Site, count: int) -> bool:
    """Whether all records are there, none twice, in the published file."""
    return site.query("SELECT count(*), count(DISTINCT message_id) FROM scans") == [(count, count)]


def test_missing_fetches_what_is_not_covered_and_then_nothing(make_site: MakeSite) -> None:
    site = make_site(hours(noon(), 10))
    end = noon() - HOUR
    assert site.backfill(end - 4 * HOUR, end - 2 * HOUR).result()["new"] == 2
    assert asked(site) == [(end - 4 * HOUR, end - 2 * HOUR)]
    assert site.backfill(end - 8 * HOUR, end).result()["new"] == 6
    assert asked(site) == [(end - 8 * HOUR, end - 4 * HOUR), (end - 2 * HOUR, end)]
    assert site.backfill(end - 8 * HOUR, end).result()["received"] == 0
    assert asked(site) == []
    assert each_once(site, 8)
    assert site.query("SELECT start_at, end_at FROM coverage") == [(end - 8 * HOUR, end)]


def test_everything_reads_again_and_changes_nothing(make_site: MakeSite) -> None:
    site = make_site([*hours(noon(), 8), *hours(noon(), 8, result="safe", fileHash="cd" * 32)])
    window = noon() - 6 * HOUR, noon() - HOUR
    site.backfill(*window)
    before = site.tables()
    asked(site)
    counts = site.backfill(*window, "everything").result()
    assert asked(site) == [window]
    assert (counts["received"], counts["duplicates"], counts["new"], counts["changed"]) == (10, 10, 0, 0)
    assert same(site.tables(), before)


def test_time_before_the_origin(make_site: MakeSite) -> None:
    long_ago = noon() - timedelta(days=40)
    site = make_site([scan(long_ago + HOUR), *hours(noon(), 3)])
    assert site.poll().result()["new"] == 3
    watermark = site.watermark()
    assert site.backfill(long_ago, long_ago + 2 * HOUR).result()["new"] == 1
    assert each_once(site, 4)
    assert site.watermark() == watermark
    asked(site)
    site.backfill(long_ago - HOUR, long_ago + 2 * HOUR)
    assert asked(site) == [(long_ago - HOUR, long_ago)]


@pytest.mark.parametrize("length", [timedelta(), -HOUR])
def test_an_end_that_is_not_after_the_start_is_refused(length: timedelta, make_site: MakeSite) -> None:
    site = make_site()
    state = site.backfill(noon() - HOUR, noon() - HOUR + length)
    assert state.is_failed()
    assert state.message == (
        "The end of a backfill must be later than its start. Correct the times and start it again."
    )
    assert site.simulator.requests == []


@pytest.mark.parametrize("what", ["missing", "everything"])
def test_the_window_ends_where_records_may_still_be_on_their_way(what: Any, make_site: MakeSite) -> None:
    site = make_site([scan(noon() - timedelta(seconds=90), 1), scan(noon() - timedelta(seconds=5), 2)])
    before = site.clock.now()
    state = site.backfill(noon() - HOUR, noon() + 24 * HOUR, what)
    assert state.result()["new"] == 1
    ((_, end),) = asked(site)
    assert before - timedelta(seconds=62) <= end <= site.clock.now() - timedelta(seconds=59)
    assert site.query("SELECT max(end_at) FROM coverage") == [(end,)]


@pytest.fixture
def by_the_hour(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Twelve hours of three records each; an hour is a slice."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
    records = [
        scan(noon() - timedelta(hours=hour, minutes=10 + number), 3 * hour + number, fileHash=f"{number:064}")
        for hour in range(12)
        for number in range(3)
    ]
    return make_site(records, page_size=1)


@pytest.mark.parametrize("stage", ["extract", "load"])
def test_a_stopped_run_keeps_complete_slices_and_goes_on_later(
    stage: str, by_the_hour: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, window = by_the_hour, (noon() - 12 * HOUR, noon())
    stop_after(5, stage, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        site.backfill(*window)
    monkeypatch.undo()
    states = [state for _, state, *_ in site.windows()]
    kept = states.count("complete")
    assert 0 < kept <= 5
    assert states.count("cancelled") == len(states) - kept > 0
    assert site.stored("SELECT count(*) FROM scans") == [(3 * kept,)]
    assert site.stored("SELECT count(*) FROM coverage") == [(1,)]
    assert list((site.home / "scratch").glob("*/*")) == []
    assert site.backfill(*window).result()["new"] == 3 * (12 - kept)
    assert each_once(site, 36)


def stop_after(times: int, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when the stage is called once more."""
    calls = 0
    inner: Callable[..., Any] = getattr(slices, stage).fn

    def stopping(pull: Pull, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > times:
            raise KeyboardInterrupt
        return inner(pull, *arguments)
