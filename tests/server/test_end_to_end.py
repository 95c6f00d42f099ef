"""Two accounts on a machine of their own: polled by their schedules, switched off, broken, backfilled, cut off twice.

In the end every record is there once, and nothing is blocked.
"""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from flows.deploy import zombie_runs
from flows.deploy.apply import apply_connectors
from tasks.saved_connectors import save_connector
from tests.flows.site import connector, scan
from tests.server.machine import Machine
from tests.simulator import Running, Simulator, World, serve

pytestmark = pytest.mark.server

NOW = datetime.now(UTC).replace(microsecond=0)
DAYS = 20  # of acme's records, four a day
ACME = [scan(NOW - timedelta(hours=6 * number, minutes=90), number) for number in range(4 * DAYS)]
LEGACY = [
    scan(NOW - timedelta(hours=number, minutes=30), f"legacy-{number}", fileHash="cd" * 32) for number in range(6)
]
OFTEN = timedelta(seconds=15)
QUICKER = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # the shortest there is
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "3",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
}
BACKFILL = {
    "connector": "acme", "what": "missing",
    "start": (NOW - timedelta(days=DAYS + 1)).isoformat(), "end": NOW.isoformat(),
}  # fmt: skip


def test_site_recovers_from_outages_and_power_loss(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serve(Simulator(World.of_records(ACME))) as acme,
        serve(Simulator(World.of_records(LEGACY))) as legacy,
        Machine(home, monkeypatch, **QUICKER) as machine,
    ):
        machine.boot()
        machine.switch("connectors-apply/connectors-apply", on=False)  # it would take schedules of seconds back
        saved_and_tested(machine, acme, legacy)
        schedules_fire(machine)
        switched_off_it_stays_off(machine)
        keys_expire(machine, legacy)
        cancelled_run_is_continued(machine, acme)
        killed_run_is_continued(machine)
        power_is_lost(machine, acme)
        keys_are_renewed(machine, legacy)
        nothing_is_lost_or_blocked(machine)


def saved_and_tested(machine: Machine, acme: Running, legacy: Running) -> None:
    save_connector("acme", connector(acme, 2, connector_id=UUID(int=1)))
    save_connector("legacy", connector(legacy, 1, connector_id=UUID(int=2)))
    assert {deployment.done for deployment in apply_connectors().polls} == {"created"}
    assert switches(machine) == {False}
    tests = [machine.start("test-connection/test-connection", connector=name) for name in ("acme", "legacy")]
    assert [machine.wait_for_end(test).state_name for test in tests] == ["Completed"] * 2
    assert switches(machine) == {True}


def schedules_fire(machine: Machine) -> None:
    for name in ("mimecast/acme", "mimecast/legacy"):
        machine.set_interval(name, OFTEN)
    for name in ("mimecast/acme", "mimecast/legacy"):
        run = machine.wait_for(lambda: newest(machine, name))  # noqa: B023 - asked at once
        assert (run.auto_scheduled, run.state_name) == (True, "Completed")
    assert stored_of(machine, "legacy") == len(LEGACY)
    assert 0 < stored_of(machine, "acme") < len(ACME)


def switched_off_it_stays_off(machine: Machine) -> None:
    machine.switch("mimecast/acme", on=False)
    assert {each.connector: each.polling for each in apply_connectors().polls} == {"acme": False, "legacy": True}
    assert [schedule.active for schedule in machine.deployment("mimecast/acme").schedules] == [False]


def keys_expire(machine: Machine, legacy: Running) -> None:
    legacy.simulator.faults.inject("418", times=None)
    machine.set_interval("mimecast/legacy", OFTEN)  # applying has set it back to what the connector says
    failed = machine.wait_for(lambda: newest(machine, "mimecast/legacy", "Failed"))
    assert failed.auto_scheduled
    assert failed.state
    assert "expired" in (failed.state.message or "")
    assert health(machine, "legacy") == "auth_failed"
    assert machine.wait_for(lambda: machine.resources_of_events("connector.lost")) == {"legacy"}
    apply_connectors()  # polled no more than the connector says: what is to come has the machine for itself


def cancelled_run_is_continued(machine: Machine, acme: Running) -> None:
    # So slow that there is time between two slices to look at the store, which one after the other has for itself.
    acme.simulator.faults.inject("slow", times=None, seconds=3.0)
    backfill = machine.start("mimecast-backfill/backfill", **BACKFILL)
    machine.wait_for(lambda: backfilled(machine) >= 2)
    asked = datetime.now(UTC)
    machine.client.set_flow_run_state(backfill, Cancelling())  # the UI's button
    assert machine.wait_for_end(backfill).state_name == "Cancelled"
    [(stopped,)] = machine.stored("SELECT max(finished_at) FROM windows WHERE state = 'cancelled'")
    assert stopped - asked < timedelta(seconds=10)
    assert 2 <= backfilled(machine) < DAYS // 2


def killed_run_is_continued(machine: Machine) -> None:
    before = backfilled(machine)
    backfill = machine.start("mimecast-backfill/backfill", **BACKFILL)
    machine.wait_for(lambda: backfilled(machine) > before)
    os.kill(machine.process_of(backfill), signal.SIGKILL)
    assert machine.wait_for_end(backfill).state_name == "Crashed"
    assert before < backfilled(machine) < DAYS


def power_is_lost(machine: Machine, acme: Running) -> None:
    before, watch = backfilled(machine), machine.automation(zombie_runs.NAME)
    machine.shorten(watch.name, 32)  # more than the shortest time between two heartbeats
    cut_off = machine.start("mimecast-backfill/backfill", **BACKFILL)
    machine.wait_for(lambda: backfilled(machine) > before)
    machine.client.pause_automation(watch.id)  # what it does gives the slot back, too
    machine.lose_power(cut_off)
    machine.boot()
    acme.simulator.faults.clear()
    again = machine.start("mimecast-backfill/backfill", **BACKFILL)
    machine.wait_for(lambda: machine.client.read_flow_run(again).state_name == "AwaitingConcurrencySlot")
    machine.expire_leases()
    assert machine.wait_for_end(again).state_name == "Completed"
    assert stored_of(machine, "acme") == len(ACME)
    assert machine.client.read_flow_run(cut_off).state_name == "Running"
    machine.client.resume_automation(watch.id)
    died = machine.wait_for_end(cut_off).state
    assert died and died.name == "Crashed"


def keys_are_renewed(machine: Machine, legacy: Running) -> None:
    legacy.simulator.faults.clear()
    machine.set_interval("mimecast/legacy", OFTEN)
    run = machine.wait_for(lambda: newest(machine, "mimecast/legacy", "Completed"))  # the schedule goes on by itself
    assert run.auto_scheduled
    assert health(machine, "legacy") == "ok"
    assert machine.wait_for(lambda: machine.resources_of_events("connector.back")) == {"legacy"}


def nothing_is_lost_or_blocked(machine: Machine) -> None:
    machine.switch("mimecast/legacy", on=False)
    assert machine.wait_for(lambda: not machine.used_slots())
    assert (stored_of(machine, "acme"), stored_of(machine, "legacy")) == (len(ACME), len(LEGACY))
    assert machine.stored("SELECT count(*) = count(DISTINCT scan_id) FROM scans") == [(True,)]
    assert machine.stored("SELECT count(*) FROM coverage_gaps") == [(0,)]
    off = machine.deployment("mimecast/acme")
    assert [schedule.active for schedule in off.schedules] == [False]
    assert {run.state_name for run in machine.runs("mimecast/acme")} <= {"Completed", "Cancelled"}


def switches(machine: Machine) -> set[bool]:
    """Of the schedules of both connectors."""
    both = [machine.deployment(f"mimecast/{name}") for name in ("acme", "legacy")]
    return {schedule.active for each in both for schedule in each.schedules}


def newest(machine: Machine, deployment: str, state: str | None = None) -> FlowRun | None:
    """The run that was last begun, if it is over (and ended so)."""
    over = [run for run in machine.runs(deployment) if run.state and run.state.is_final()]
    over = [run for run in over if not run.state or not run.state.is_cancelled()]
    return over[0] if over and state in (None, over[0].state_name) else None


def backfilled(machine: Machine) -> int:
    sql = "SELECT count(*) FROM windows WHERE trigger = 'backfill' AND state LIKE 'complete%'"
    return int(machine.stored(sql)[0][0])


def stored_of(machine: Machine, name: str) -> int:
    return int(machine.stored(f"SELECT count(*) FROM scans WHERE connector = '{name}'")[0][0])


def health(machine: Machine, name: str) -> Any:
    with machine.store.reader() as reader:
        return reader.rows("SELECT state FROM connector_health WHERE connector = $name", {"name": name})[0][0]
