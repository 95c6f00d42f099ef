"""A run that is cancelled ends soon, whatever its slices are waiting for, and keeps complete ones.

Within ten seconds. Measured from the signal to the end: 1 to 2 s (and the 3 s that a load is held up here), also with
six times as much to do as the machine has processors; from Cancel in the UI to *Cancelled*, Prefect's part included,
8 s. What these tests must tell apart is a run that waits for its service, which takes 60 s and more.
"""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest

from flows.runs import slice_stages
from tasks.http import retry
from tests.flows.cli.command import Command
from tests.flows.conftest import MakeSite
from tests.flows.site import Site, change, hours, noon
from tests.simulator.accounts import v2_keys

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)
HOURS = 4
SOON = 25


@pytest.fixture
def site(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Some hours of one record each; an hour is a slice, and one is fetched at a time."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
    monkeypatch.setenv("ATTACHMENT_ALERTS_FETCH_CONCURRENCY", "2")
    return make_site(hours(noon(), HOURS))


@contextmanager
def cancelled_when(so: Callable[[], bool]) -> Iterator[list[float]]:
    """Send this process what Ctrl-C sends once it is so; yields when that was."""
    at: list[float] = []

    def watch() -> None:
        while not so():
            time.sleep(0.05)
        time.sleep(0.2)
        at.append(time.monotonic())
        # To this thread: which one gets a process's signal is the system's choice, and the main one must see it anyway.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    yield at


def stopped(site: Site, so: Callable[[], bool]) -> float:
    """Seconds from the cancellation of a backfill to its end."""
    with cancelled_when(so) as at:
        state = site.backfill(noon() - HOURS * HOUR, noon())
    assert state.is_cancelled()
    return time.monotonic() - at[0]


def goes_on(site: Site) -> None:
    """The next run fetches what is left, and every record is there once."""
    states = [state for _, state, *_ in site.windows()]
    assert set(states) == {"complete", "cancelled"}
    kept = states.count("complete")
    site.faults.clear()
    assert site.backfill(noon() - HOURS * HOUR, noon()).result()["new"] == HOURS - kept
    assert site.query("SELECT count(*), count(DISTINCT scan_id) FROM scans") == [(HOURS,) * 2]
    assert list((site.home / "scratch").glob("pull-*")) == []


def test_run_stops_soon_during_a_slow_response(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.faults.inject("slow", times=None, after=2, seconds=60)
    edges = "--from", f"{noon() - HOURS * HOUR:%Y-%m-%dT%H:%M}", "--to", f"{noon():%Y-%m-%dT%H:%M}"
    with cancelled_when(lambda: site.faults.happened["slow"] > 0) as at:
        says = Command(capsys)("backfill", site.name, *edges)
    assert time.monotonic() - at[0] < SOON
    kept = sum(state == "complete" for _, state, *_ in site.windows())
    assert (says.status, says.out) == (130, "")
    assert re.search(rf"stored: {kept}\s*$", says.err, re.MULTILINE), says.err
    assert "continues" in says.err
    assert "trying again" not in says.err, "the program itself closed the connection"
    goes_on(site)


def test_run_stops_soon_during_a_requested_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.faults.inject("429", times=None, after=2, seconds=300)
    monkeypatch.setattr(retry, "PACE", 1.0)
    assert stopped(site, lambda: site.faults.happened["429"] > 0) < SOON
    monkeypatch.setattr(retry, "PACE", 0.0005)
    change(site.name, **v2_keys(2))  # an account without a wait; another process would know nothing of it either
    goes_on(site)


def test_run_stops_soon_while_a_slice_is_loaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, load = threading.Event(), slice_stages.load_slice
    done: list[Any] = []

    @wraps(load)
    def slow(*given: Any) -> Any:
        result = load(*given)
        done.append(result)
        if len(done) == 2:
            loading.set()
            time.sleep(3)  # rows are inserted, nothing is committed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(slice_stages, "load_slice", slow)
        assert stopped(site, loading.is_set) < SOON
    goes_on(site)
