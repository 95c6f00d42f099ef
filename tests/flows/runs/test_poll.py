"""Polls: which time they fetch, what they bring, what they say, and what they never say."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events import Event
from prefect.events.clients import EventsClient
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from pydantic import SecretStr

from flows.cli.run import summary
from flows.console.terminal import out
from tasks.formatting import format_period
from tasks.triage.allow_list import Entry, add
from tests.flows.artifacts.test_run_summary import artifacts, row, text
from tests.flows.conftest import MakePlainSite, MakeSite
from tests.flows.site import change, differences, hours, noon, same, scan
from tests.simulator import V1_KEYS, V2_KEYS, World
from tests.simulator.incoming import LOGS_PATH
from tests.simulator.listed import ListedStock, row_of
from tests.simulator.rows import Row, epoch

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def counts(state: State[Any], *names: str) -> tuple[Any, ...]:
    result = state.result()
    return tuple(result[name] for name in names)


def flow_run(state: State[Any]) -> FlowRun:
    assert state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


def test_a_first_poll_and_those_after_it(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(at_noon=False, first_look_back_days=1)
    caplog.set_level(logging.INFO)
    before = site.clock.now()
    site.world.add(hours(before, 30))  # in each of the last thirty hours one

    state = site.poll()
    after = site.clock.now()
    ((origin,),) = site.stored("SELECT origin FROM internal.connectors")
    assert before - DAY - SECOND <= origin <= after - DAY
    assert state.is_completed()
    assert counts(state, "received", "accepted", "new", "alerts", "rejected", "failed") == (24, 24, 24, 24, 0, 0)
    ((start, end),) = site.query("SELECT start_at, end_at FROM coverage")
    assert start == origin
    assert before - 62 * SECOND <= end <= after - 60 * SECOND  # never later than now less what may be on its way
    assert site.watermark() == end
    assert site.health() == ("ok", 0, None)
    run = flow_run(state)
    assert run.name == f"{site.name} poll {format_period(start, end)}"
    assert run.parameters == {"connector": site.name}
    assert site.query("SELECT DISTINCT flow_run_id FROM windows") == [(str(run.id),)]
    assert "clock" not in caplog.text
    ((first_slices,),) = site.stored("SELECT count(*) FROM windows")
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("attachment_alerts")]
    of_slices = [each for each in lines if re.match(r"poll .+ to .+: \d+ received, ", each)]
    assert len(of_slices) == first_slices
    assert len(lines) < 24  # none for a record

    tables = site.tables()
    state = site.poll()
    assert counts(state, "received", "new", "changed", "duplicates") == (1, 0, 0, 1)
    assert differences(site.tables(), tables) == []
    later = f"SELECT * FROM windows ORDER BY finished_at OFFSET {first_slices}"  # two after midnight
    window = site.stored(f"SELECT min(start_at), max(end_at) FROM ({later})")[0]
    assert window[0] == end - HOUR
    assert window[1] == site.watermark() >= end

    # One that is new, and one that came late, but within the overlap; what is later still waits for the re-check.
    site.world.add([scan(end - HOUR / 2, "late"), scan(end - 3 * HOUR, "too late")])
    site.later(minutes=30)
    site.world.add([scan(after + HOUR / 4, "new")])
    assert counts(site.poll(), "new", "late") == (2, 0)
    assert site.query(
        "SELECT count(*) FROM scans WHERE message_id IN ('<late@supplier.example>', '<new@supplier.example>')"
    ) == [(2,)]


def test_what_comes_or_changes_later_is_found_by_the_daily_recheck(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_FETCH_CONCURRENCY", "1")
    first, then = noon() - 20 * HOUR, noon() + 5 * HOUR
    judged_later = ((epoch(then), {"result": "malicious", "actionTriggered": "hold, none"}),)
    rows = [
        Row(epoch(first), 0, scan(first, 1, "timeout"), judged_later),
        row_of(scan(first + HOUR, 2, "safe")),
        row_of(scan(first + HOUR, 3, "unknown", fileHash="cd" * 32)),
    ]
    site = make_site(World(stock=ListedStock(rows)))
    assert counts(site.poll(), "new", "alerts") == (3, 2)
    group = "SELECT priority, exposure_count, alert_count FROM alert_groups ORDER BY file_sha256"
    assert site.query(group) == [("medium", 0, 1), ("medium", 0, 1)]
    site.world.add([scan(noon() - 10 * HOUR, 4)])  # far behind every overlap
    site.world.add([scan(noon() - 10 * HOUR, 5, fileHash="ee" * 32)])
    add(site.store, Entry("hash", "ee" * 32, "known", "ann"))
    site.later(hours=20)
    assert counts(site.poll(), "new", "changed", "late") == (0, 0, 0)

    # A day has passed. The poll's own time fails, the re-check brings what it brings, the watermark stays.
    site.later(hours=5)
    watermark = site.watermark()
    site.faults.inject("fail-200")
    state = site.poll()
    assert state.is_failed()
    assert {window[:2] for window in site.windows()[-4:]} >= {("poll", "failed"), ("recheck", "complete")}
    assert site.watermark() == watermark
    assert f"{state.result(raise_on_failure=False).counts['late']} records arrived late" in caplog.text
    assert site.query(group) == [("high", 1, 2), ("medium", 0, 1)]
    assert sorted(site.query("SELECT field, old_value, new_value FROM scan_changes")) == [
        ("response", "none, none", "hold, none"),
        ("verdict", "timeout", "malicious"),
    ]
    exposed = site.query("SELECT recipient, verdict, direction FROM exposures")
    assert exposed == [("user2@contoso.example", "safe", "after")]
    told, page = state.result(raise_on_failure=False).counts, text(artifacts(state)["markdown"])
    assert (told["exposures"], told["suppressed"]) == (1, 1)
    assert (row(page, "Exposures found"), row(page, "… hidden by the allow-list")) == ("1", "1")
    with out.capture() as printed:
        out.print(summary(told, None))
    assert re.search(r"exposed +1 ", printed.get())
    assert re.search(r"alerts +3 +3 high · 1 hidden by the allow-list", printed.get())

    assert counts(site.poll(), "new", "changed", "late") == (0, 0, 0)
    assert site.windows()[-1][:2] == ("poll", "complete")
    assert site.watermark() > watermark + 4 * HOUR
    tables = site.tables()
    site.later(hours=25)
    state = site.poll()
    assert state.is_completed()
    rechecked = [window for window in site.windows() if window[0] == "recheck"]
    assert max(end for *_, end in rechecked) <= site.watermark()
    assert same(site.tables(), tables)


def test_both_api_generations_bring_the_same(
    make_plain_site: MakePlainSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(per_day=2_000, start=noon() - 3 * HOUR, end=noon())
    tables = []
    for generation in (1, 2):
        home = tmp_path / str(generation)
        monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(home))
        site = replace(make_plain_site(world, generation), home=home)
        assert not site.poll().failed
        own = ("connector", "connectors", "detection_details_url")
        tables.append({name: frame.drop(own, strict=False) for name, frame in site.tables(moments=False).items()})
        assert {asked.generation for asked in site.simulator.requests if asked.path == LOGS_PATH} == {generation}
    assert differences(*tables) == []
    assert len(tables[0]["scans"]) > 200


def test_small_clock_difference_is_corrected_with_a_warning(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(at_noon=False)
    for minutes in (-4, 0, 4):
        caplog.clear()
        site.service_at(datetime.now(UTC) + timedelta(minutes=minutes))
        assert site.poll().is_completed()
        ((end,),) = site.stored("SELECT max(end_at) FROM windows")
        assert abs(end + 60 * SECOND - site.clock.now()) < 60 * SECOND
        assert site.watermark() <= datetime.now(UTC) - 60 * SECOND
        warnings = [entry for entry in caplog.records if "clock and the service's differ" in entry.message]
        assert [entry.levelname for entry in warnings] == ([] if minutes == 0 else ["WARNING"])
        assert site.health()[0] == "quiet"


@pytest.mark.parametrize("ahead", [3 * HOUR, 30 * DAY, -6 * HOUR, -90 * DAY])
def test_large_clock_difference_is_not_believed_and_loses_nothing(make_site: MakeSite, ahead: timedelta) -> None:
    site = make_site(at_noon=False)
    assert site.poll().is_completed()
    watermark = site.watermark()
    site.report_time(ahead)
    site.world.add([scan(datetime.now(UTC) - 30 * SECOND * 4, 1)])
    assert counts(site.poll(), "new") == (1,)  # by this machine's clock
    assert watermark <= site.watermark() <= datetime.now(UTC) - 60 * SECOND
    state, failures, error = site.health()
    assert (state, failures) == ("failing", 1)
    assert "clock" in error
    assert site.query("SELECT lag_seconds >= 0 FROM connector_health") == [(True,)]
    site.report_time(timedelta())
    site.later(minutes=5)
    site.world.add([scan(site.clock.now() - 2 * HOUR / 60, 2)])
    assert counts(site.poll(), "new") == (1,)
    assert site.health() == ("ok", 0, None)


def test_machine_clock_that_was_ahead_leaves_nothing_unread(make_site: MakeSite) -> None:
    site = make_site(at_noon=False)
    machine = datetime.now(UTC)
    site.at(machine + 3 * HOUR)
    site.report_time(-1000 * DAY)
    assert site.poll().is_completed()
    site.at(machine + 300 * SECOND)
    site.world.add([scan(machine - 4 * 30 * SECOND, 1)])
    assert site.watermark() > site.clock.now()
    assert counts(site.poll(), "new") == (1,)
    assert site.watermark() <= site.clock.now()
    assert site.stored("SELECT count(*) FROM internal.windows WHERE error_kind = 'ClockWrong'")[0][0] == 2


def test_words_never_seen_are_told_once_per_run(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    odd = {"result": "Teleported\x1b[31m", "actionTriggered": "beam up, none", "route": "sideways", "newField": "new"}
    site = make_site([scan(noon() - hour * HOUR, hour, **odd) for hour in range(1, 24)])
    state = site.poll()
    assert state.result()["slices"] > 1
    assert state.result()["unseen"] == ["action: beam up", "route: sideways", "verdict: teleported\x1b[31m"]
    assert state.result()["leftover"] == ["newField"]
    told = [
        each.message for each in caplog.records if each.name == "attachment_alerts.pull" and each.levelname == "WARNING"
    ]
    assert [message for message in told if "clock" not in message] == [
        "unknown value, stored and treated as unrecognised: action: beam up",
        "unknown value, stored and treated as unrecognised: route: sideways",
        r"unknown value, stored and treated as unrecognised: verdict: teleported\x1b[31m",
        "the service sends an unknown field: newField",
    ]
    assert site.query("SELECT DISTINCT priority, sub_classification FROM alerts") == [
        ("medium", "Unrecognised verdict")
    ]


def test_an_unknown_name_fails_the_run_in_words(make_site: MakeSite) -> None:
    site = replace(make_site(), name="nobody")
    state = site.poll()
    assert state.is_failed()
    assert "No connector is saved as 'nobody'" in (state.message or "")


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At DEBUG, from every logger there is, also those of Prefect that keep their lines to themselves."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    levels = [(logger, logger.level) for logger in loggers]
    closed = [logger for logger in loggers if not logger.propagate]
    try:
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        for logger in closed:
            logger.addHandler(caplog.handler)
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
        for logger in closed:
            logger.removeHandler(caplog.handler)


@contextmanager
def events_of_tasks() -> Iterator[list[Event]]:
    """What Prefect is told of tasks, as it leaves this process."""
    told: list[Event] = []
    emit = EventsClient.emit

    async def noted(client: EventsClient, event: Event) -> None:
        told.extend([event] if event.event.startswith("prefect.task-run.") else [])
        await emit(client, event)

    with mock.patch.object(EventsClient, "emit", noted):
        yield told


def told_to_prefect(client: SyncPrefectClient, states: list[State[Any]], events: list[Event]) -> str:
    """All that Prefect is told of these runs, as text."""
    ids = [state.state_details.flow_run_id for state in states if state.state_details.flow_run_id]
    runs = FlowRunFilter(id=FlowRunFilterId(any_=ids))
    found: list[Any] = client.read_flow_runs(flow_run_filter=runs)
    pages = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=ids))
    found += client.read_artifacts(artifact_filter=pages, sort=ArtifactSort.CREATED_DESC, limit=200)
    APILogWorker.instance().drain()
    logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids)))
    assert logs
    found += logs
    EventsWorker.drain_all()
    found += events
    text = "\n".join([*(each.model_dump_json() for each in found), *map(repr, states)])
    assert {f"prefect.flow-run.{each}" for each in ids} <= {related.id for event in events for related in event.related}
    return text


@pytest.mark.parametrize("generation", [pytest.param(1, marks=pytest.mark.server), 2])
def test_no_secret_is_told_to_anybody(
    generation: int, make_site: MakeSite, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site(hours(noon(), 3), generation)
    keys = (V1_KEYS, V2_KEYS)[generation - 1]
    public = {"application_id", "client_id"}
    secrets = {value for name, value in keys.items() if name not in public} | {"d3JvbmctYnV0LXNlY3JldA=="}
    last = list(keys)[-1]
    states = []
    caplog.set_level(logging.DEBUG)
    with (
        everything_logged(caplog),
        events_of_tasks() as events,
        temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}),
    ):
        states.append(site.poll())
        for fault in ("500", "cut", "html-200", "403"):
            site.faults.inject(fault, times=None)
            states.append(site.poll())
            site.faults.clear()
        change(site.name, **{last: SecretStr("d3JvbmctYnV0LXNlY3JldA==")})
        states.append(site.poll())
    secrets |= site.simulator.access_tokens
    assert [state.is_failed() for state in states] == [False, *[True] * 5]
    with get_client(sync_client=True) as client:
        prefect = told_to_prefect(client, states, events)
    tables = "\n".join(frame.write_json() for frame in site.tables().values())
    tables += "\n".join(map(repr, site.query("SELECT * FROM windows") + site.query("SELECT * FROM connector_health")))
    told = {"log": caplog.text, "Prefect": prefect, "tables": tables, "terminal": "".join(capfd.readouterr())}
    assert all(site.name in told[where] for where in ("log", "Prefect", "tables"))
    assert "get-logs" in told["log"]
    assert f"health-{site.name}" in told["Prefect"]
    found = [(where, secret) for where, text in told.items() for secret in secrets if secret in text]
    assert found == []
