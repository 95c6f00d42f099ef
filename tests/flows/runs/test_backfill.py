"""Backfills: which time they fetch, and that stopping or killing one loses and doubles nothing."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Pending
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.mimecast import mimecast
from flows.runs import slice_stages
from tasks.errors import SettingsError
from tasks.formatting import format_period
from tasks.ingest import batches
from tasks.ingest.stages import Stages
from tests.flows.conftest import MakePlainSite, MakeSite
from tests.flows.runs.test_poll import flow_run
from tests.flows.site import MACHINE, Site, hours, noon, same, scan
from tests.simulator import World, server
from tests.simulator.incoming import LOGS_PATH
from tests.simulator.rows import Query, epoch

HOUR = timedelta(hours=1)
HOURS, FEW = 8, 5


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


@pytest.mark.server
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


@pytest.mark.server
def test_everything_reads_again_and_changes_nothing(make_site: MakeSite) -> None:
    site = make_site([*hours(noon(), 8), *hours(noon(), 8, result="safe", fileHash="cd" * 32)])
    window = noon() - 6 * HOUR, noon() - HOUR
    first = site.backfill(*window)
    before = site.tables()
    asked(site)
    again = site.backfill(*window, "everything")
    counts = again.result()
    name = f"{site.name} backfill {format_period(*window)}"
    assert [flow_run(state).name for state in (first, again)] == [name, f"{name}, everything again"]
    assert asked(site) == [window]
    assert (counts["received"], counts["duplicates"], counts["new"], counts["changed"]) == (10, 10, 0, 0)
    assert same(site.tables(), before)


def test_time_before_the_origin(make_plain_site: MakePlainSite) -> None:
    long_ago = noon() - timedelta(days=40)
    site = make_plain_site([scan(long_ago + HOUR, 99), *hours(noon(), 3)])
    assert site.poll().new == 3
    watermark = site.watermark()
    assert site.backfill(long_ago, long_ago + 2 * HOUR).new == 1
    assert each_once(site, 4)
    assert site.watermark() == watermark
    asked(site)
    site.backfill(long_ago - HOUR, long_ago + 2 * HOUR)
    assert asked(site) == [(long_ago - HOUR, long_ago)]


@pytest.mark.parametrize("length", [timedelta(), -HOUR])
def test_an_end_that_is_not_after_the_start_is_refused(length: timedelta, make_plain_site: MakePlainSite) -> None:
    site = make_plain_site()
    with pytest.raises(SettingsError):
        site.backfill(noon() - HOUR, noon() - HOUR + length)
    assert not site.simulator.requests


def test_time_that_is_not_over_yet_is_refused(make_plain_site: MakePlainSite) -> None:
    site = make_plain_site()
    with pytest.raises(SettingsError, match=f"{noon() + 24 * HOUR:%Y-%m-%d %H:%M}"):
        site.backfill(noon() + 24 * HOUR, noon() + 48 * HOUR)
    assert asked(site) == []


@pytest.mark.parametrize("what", ["missing", "everything"])
def test_the_window_ends_where_records_may_still_be_on_their_way(what: Any, make_plain_site: MakePlainSite) -> None:
    site = make_plain_site([scan(noon() - timedelta(seconds=90), 1), scan(noon() - timedelta(seconds=5), 2)])
    before = site.clock.now()
    assert site.backfill(noon() - HOUR, noon() + 24 * HOUR, what).new == 1
    ((_, end),) = asked(site)
    assert before - timedelta(seconds=62) <= end <= site.clock.now() - timedelta(seconds=59)
    assert site.query("SELECT max(end_at) FROM coverage") == [(end,)]


@pytest.fixture
def by_the_hour(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Some hours of three records each; an hour is a slice."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
    records = [
        scan(noon() - timedelta(hours=hour, minutes=10 + number), 3 * hour + number, fileHash=f"{number:064}")
        for hour in range(HOURS)
        for number in range(3)
    ]
    return make_site(records, page_size=1)


@pytest.mark.server
@pytest.mark.parametrize(("room", "stage"), [(Stages, "extract"), (slice_stages, "load")])
def test_a_stopped_run_keeps_complete_slices_and_goes_on_later(
    room: Any, stage: str, by_the_hour: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, window = by_the_hour, (noon() - FEW * HOUR, noon())
    with monkeypatch.context() as patch:
        patch.setenv("ATTACHMENT_ALERTS_FETCH_CONCURRENCY", "2")
        patch.setattr(room, stage, interrupted(getattr(room, stage), after=3))
        assert site.backfill(*window).is_cancelled()
    states = [state for _, state, *_ in site.windows()]
    kept = states.count("complete")
    assert 0 < kept <= 3
    assert states.count("cancelled") == len(states) - kept > 0
    assert site.stored("SELECT count(*) FROM scans") == [(3 * kept,)]
    covered = site.stored("SELECT start_at, end_at FROM coverage")
    assert sum((end - start for start, end in covered), timedelta()) == kept * HOUR
    assert list((site.home / "scratch").glob("pull-*")) == []
    assert site.backfill(*window).result()["new"] == 3 * (FEW - kept)
    assert each_once(site, 3 * FEW)


def interrupted(stage: Callable[..., Any], after: int) -> Callable[..., Any]:
    """The stage, with Ctrl-C in the place of a later call."""
    left = iter(range(after))

    @wraps(stage)
    def stopping(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return stage(*arguments, **named)

    return stopping


KILLED = """
import sys
from datetime import datetime, timedelta
from flows.mimecast import mimecast_backfill as backfill
from tasks import clock
now, ahead = clock.now, timedelta(seconds=float(sys.argv[1]))
clock.now = lambda: now() + ahead
backfill(sys.argv[2], *map(datetime.fromisoformat, sys.argv[3:]))
"""
"""A backfill by a machine whose clock is so many seconds ahead, as that of this process is."""


class Open:
    """How many listings are asked for at this moment, and at most; none is answered before there were that many."""

    now = most = 0

    def __init__(self, expected: int) -> None:
        self._expected = expected

    def counted(self, app: ASGIApp) -> ASGIApp:
        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("path") != LOGS_PATH:
                return await app(scope, receive, send)
            self.now += 1
            self.most = max(self.most, self.now)
            until = time.monotonic() + 30
            while self.most < self._expected and time.monotonic() < until:
                await asyncio.sleep(0.01)
            try:
                await app(scope, receive, send)
            finally:
                self.now -= 1

        return counting


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Listings that are open at the simulator, where there are four at once by default."""
    listings, made = Open(4), server.application
    monkeypatch.setattr(server, "application", lambda simulator: listings.counted(made(simulator)))
    return listings


@pytest.mark.server
def test_a_killed_run_loses_and_doubles_nothing(four: Open, by_the_hour: Site) -> None:
    site, window = by_the_hour, (noon() - HOURS * HOUR, noon())
    site.faults.inject("slow", times=None, seconds=1.5)
    ahead = str(MACHINE.ahead.total_seconds())
    call = [sys.executable, "-c", KILLED, ahead, site.name, *map(datetime.isoformat, window)]
    api = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    with subprocess.Popen(call, env=os.environ | api, stderr=subprocess.DEVNULL) as process:
        # The store is not asked before two slices can be there: each look takes time and the writer's lock.
        wait_until(lambda: len(site.simulator.requests) > 4 and len(site.windows()) >= 2, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert four.most == 4, "as many slices are fetched at once as the setting says, and no more"
    site.faults.clear()
    states = [state for _, state, *_ in site.windows()]
    assert states == ["complete"] * len(states)
    assert 2 <= len(states) < HOURS
    assert site.stored("SELECT count(*) FROM scans") == [(3 * len(states),)]
    # Nobody holds the killed run's locks any more, and nothing waits for it.
    assert site.backfill(*window).result()["new"] == 3 * (HOURS - len(states))
    assert each_once(site, 3 * HOURS)
    assert list((site.home / "scratch").glob("pull-*")) == []
    assert site.poll().result()["new"] == 0


def wait_until(so: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    """Until it is so; fails where the process has ended before."""
    until = time.monotonic() + seconds
    while not so():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_burst_is_worked_off_in_batches(make_plain_site: MakePlainSite, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, end = noon() - 5 * HOUR, noon() - 4 * HOUR
    site = make_plain_site(World(per_day=120_000, start=begin, end=end))
    rows: dict[str, list[int]] = defaultdict(list)
    write = pl.DataFrame.write_ipc

    def observed(frame: pl.DataFrame, file: Any, **options: Any) -> Any:
        rows[Path(file).parent.name].append(len(frame))
        return write(frame, file, **options)

    monkeypatch.setattr(pl.DataFrame, "write_ipc", observed)
    monkeypatch.setattr(batches, "BATCH_ROWS", 2_000)
    counts = site.backfill(begin, end).as_counts()
    total = site.world.count(Query(epoch(begin), epoch(end), epoch(site.clock.now())))
    assert total
    assert total > 3 * 2_000
    assert (counts["slices"], counts["received"]) == (1, total)
    assert sum(counts[kind] for kind in ("new", "changed", "duplicates", "rejected")) == total
    assert rows.keys() == {"extracted", "scans"}
    for sizes in rows.values():  # two batches stay in memory, the last one being smaller
        assert max(sizes) <= 2_000
        assert 2_000 < total - sum(sizes) <= 2 * 2_000 + counts["rejected"]
    assert site.query("SELECT count(*), count(DISTINCT scan_id) FROM scans") == [(counts["new"],) * 2]
    assert site.query("SELECT count(*) FROM alerts") == site.query("SELECT sum(alert_count) FROM alert_groups")


@pytest.mark.server
def test_a_run_that_prefect_starts_although_it_is_cancelled_does_nothing(make_site: MakeSite) -> None:
    site = make_site(hours(noon(), 3))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(mimecast, parameters={"connector": site.name}, state=Pending())
        client.set_flow_run_state(run.id, Cancelled(), force=True)
        state: Any = run_flow(mimecast, flow_run=client.read_flow_run(run.id), return_type="state")
        assert [each.name for each in client.read_flow_run_states(run.id)] == [
            "Pending", "Cancelled", "Running", "Cancelled",
        ]  # fmt: skip
    assert state.is_cancelled()
    assert not site.store.is_published()
