"""Runs at the same time, and analysts who read meanwhile: nobody sees half of anything, nothing comes twice."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State

from flows.runs import pull
from tasks.store import publish_policy
from tests.flows.cli.command import Command
from tests.flows.conftest import MakeSite
from tests.flows.site import Site, hours, noon, scan
from tests.pages import QUESTIONS
from tests.simulator import Simulator
from tests.simulator.answers import Answer
from tests.simulator.incoming import Incoming

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)
LONG_AGO = noon() - timedelta(days=40)
SLICES = 8
IN_A_SLICE = 3
ASKED = [
    (QUESTIONS / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("look_first", "reached_people", "exposed_recipients")
]

ANALYST = """
import json, pathlib, select, sys, duckdb

file, keeps = pathlib.Path(sys.argv[1]), sys.argv[2] == "keeps"
QUERIES = [
    "SELECT count(*) FROM alerts",
    "SELECT sum(alert_count)::BIGINT FROM alert_groups",
]
seen = []
connection = duckdb.connect(file, read_only=True)
while True:
    # Looked at first: the last state is seen, too. Who keeps the file open always sees the same one.
    told_to_end = bool(select.select([sys.stdin], [], [], 1.0 if keeps else 0.1)[0])
    if not keeps:
        connection.close()
        connection = duckdb.connect(file, read_only=True)
    for query in json.loads(sys.argv[3]):
        connection.execute(query).fetchall()
    seen.append([connection.execute(query).fetchone()[0] for query in QUERIES])
    if told_to_end:
        break
print(json.dumps(seen))
"""


@pytest.fixture
def busy(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Polled once; a stretch long ago is left for a backfill of many slices, and a new record for the next poll."""
    old = [
        scan(LONG_AGO + timedelta(hours=hour, minutes=10 + number), 100 + IN_A_SLICE * hour + number)
        for hour in range(SLICES)
        for number in range(IN_A_SLICE)
    ]
    site = make_site([*hours(noon(), IN_A_SLICE), *old])
    site.poll()
    site.later(minutes=10)
    site.world.add([scan(noon() + timedelta(minutes=5), 99)])
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "1")
    monkeypatch.setenv("ATTACHMENT_ALERTS_FETCH_CONCURRENCY", "1")
    return site


def backfill_of(site: Site) -> Callable[[], State[Any]]:
    return lambda: site.backfill(LONG_AGO, LONG_AGO + SLICES * HOUR)


@contextmanager
def running(*runs: Callable[[], State[Any]]) -> Iterator[list[Future[State[Any]]]]:
    """Runs in threads of their own, with the test's settings of Prefect."""
    with ThreadPoolExecutor(len(runs)) as threads:
        yield [threads.submit(copy_context().run, run) for run in runs]


def each_once(site: Site, count: int) -> bool:
    return site.query("SELECT count(*), count(DISTINCT (connector, message_id)) FROM scans") == [(count, count)]


def test_polls_of_one_account_run_one_after_the_other(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "POLL_PATIENCE", 120.0)
    monkeypatch.setenv("ATTACHMENT_ALERTS_SLICE_HOURS", "168")
    site = make_site(hours(noon(), 12), page_size=1)
    site.faults.inject("slow", times=10, seconds=0.1)
    with running(site.poll, site.poll) as polls:
        states = [poll.result() for poll in polls]
    assert [state.name for state in states] == ["Completed"] * 2
    assert sorted(state.result()["new"] for state in states) == [0, 12]
    assert each_once(site, 12)
    assert site.health() == ("ok", 0, None)


def test_poll_that_waits_too_long_is_skipped(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pull, "POLL_PATIENCE", 1.0)
    site = make_site(hours(noon(), 3))
    asked, go_on, answer = threading.Event(), threading.Event(), Simulator.answer

    def held(simulator: Simulator, incoming: Incoming) -> Answer:
        asked.set()
        go_on.wait(60)
        return answer(simulator, incoming)

    monkeypatch.setattr(Simulator, "answer", held)
    with running(site.poll) as (first,):
        assert asked.wait(60)
        second = Command(capsys)("poll", site.name, "--json")
        go_on.set()
    told = json.loads(second.out)
    assert (second.status, told["state"], told["new"]) == (1, "Skipped", 0)
    assert second.err.splitlines()[-1].startswith("✘ Skipped: Another run has been using this account")
    assert "this one was skipped. The next poll fetches the same time.\n" in second.err
    assert (first.result().name, first.result().result()["new"]) == ("Completed", 3)
    assert each_once(site, 3)
    assert site.health() == ("ok", 0, None)


def test_poll_runs_between_the_slices_of_a_backfill(busy: Site) -> None:
    busy.faults.inject("slow", times=None, seconds=0.8)
    asked = len(busy.simulator.requests)
    with running(backfill_of(busy)) as (backfill,):
        while len(busy.simulator.requests) < asked + 3:
            assert not backfill.done()
            time.sleep(0.02)
        poll = busy.poll()
        assert not backfill.done()
        busy.faults.clear()  # the rest need not be slow
    assert poll.name == "Completed"
    assert poll.result()["new"] == 1
    assert backfill.result().result()["new"] == SLICES * IN_A_SLICE
    assert each_once(busy, (SLICES + 1) * IN_A_SLICE + 1)
    triggers = [trigger for trigger, *_ in busy.stored("SELECT trigger FROM windows ORDER BY finished_at")]
    changes = [trigger for trigger, _ in groupby(triggers)]
    assert changes == ["poll", "backfill", "poll", "backfill"]  # the poll itself was not interrupted


@contextmanager
def analyst(site: Site, habit: str) -> Iterator[list[tuple[int, ...]]]:
    """Somebody with a DuckDB of his own who asks all the time; in the end, what he saw."""
    seen: list[tuple[int, ...]] = []
    call = [sys.executable, "-c", ANALYST, str(site.store.published_path), habit, json.dumps(ASKED)]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield seen
        finally:
            said, error = process.communicate(b"that's all\n", timeout=60)
        assert error == b""
        seen += map(tuple, json.loads(said))


def test_analysts_see_whole_states_only_and_no_error(busy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_policy, "PUBLISH_INTERVAL", timedelta())
    monkeypatch.setattr(type(busy.store), "may_publish", lambda store: True)
    with analyst(busy, "keeps") as kept, analyst(busy, "reopens") as reopened, running(backfill_of(busy)) as runs:
        assert busy.poll().is_completed()
        assert runs[0].result().is_completed()
    first, last = IN_A_SLICE, (SLICES + 1) * IN_A_SLICE + 1
    assert set(kept) == {(first, first)}
    assert {alerts for alerts, in_groups in [*kept, *reopened] if alerts != in_groups} == set()
    states = [alerts for alerts, *_ in reopened]
    assert (states[0], states[-1]) == (first, last)
    assert states == sorted(states)
    assert len(set(states)) > SLICES // 2
    assert {alerts % IN_A_SLICE for alerts in states} <= {0, 1}  # slices come as a whole; the poll's has one record


def test_accounts_of_both_api_versions_share_the_tables(make_site: MakeSite) -> None:
    first = make_site(hours(noon(), 5), generation=1)
    second = make_site(hours(noon(), 7), generation=2, connector_id=UUID(int=2))
    with running(first.poll, second.poll) as polls:
        assert [poll.result().result()["new"] for poll in polls] == [5, 7]
    assert each_once(first, 12)
    assert first.query("SELECT connector, count(*) FROM alerts GROUP BY ALL ORDER BY ALL") == [
        (first.name, 5), (second.name, 7)
    ]  # fmt: skip
    assert first.query("SELECT alert_count, list_sort(connectors) FROM alert_groups") == [
        (12, [first.name, second.name])
    ]
    assert first.health()[0] == second.health()[0] == "ok"
    with running(first.poll, second.poll) as polls:
        assert [poll.result().result()["new"] for poll in polls] == [0, 0]
    assert each_once(first, 12)
