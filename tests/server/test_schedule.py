"""A schedule really produces runs, and a backfill can be started as the UI does: with a server and a worker of its own.

Everything of Prefect runs in processes with an environment of their own; this one only asks the server's API.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun

from flows.deploy import prefect_yaml
from flows.deploy.apply import apply_connectors
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import save_connector
from tests.flows.site import hours, scan
from tests.server import running
from tests.server.machine import Machine
from tests.simulator import V2_KEYS, Simulator, World, serve

pytestmark = pytest.mark.server


def test_deployments_run_on_schedule_and_from_the_ui(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    long_ago = now - timedelta(days=9)
    world = World.of_records([*hours(now, 5), scan(long_ago, 99)])
    with serve(Simulator(world)) as service, Machine(home, monkeypatch) as machine:
        machine.boot()
        fields = {"base_url": service.url, "allow_other_host": True, "first_look_back_days": 1, "polling_minutes": 5}
        fields |= {"connector_id": running.due_in(20, minutes=5), "tested_at": now}
        save_connector("acme", MimecastConnector.model_validate(V2_KEYS | fields))
        assert [(poll.deployment, poll.done) for poll in apply_connectors().polls] == [("mimecast/acme", "created")]
        everything_is_deployed_and_a_switch_stays_as_it_is(machine)
        run = machine.wait_for(lambda: next(filter(ended, of_the_schedule(machine.client)), None))
        assert run.auto_scheduled
        assert run.state_name == "Completed"
        with machine.store.reader() as tables:
            assert tables.rows("SELECT count(*) FROM scans") == [(5,)]
            assert (str(run.id),) in tables.rows("SELECT flow_run_id FROM windows")

        given = {"connector": "acme", "what": "missing"}
        given |= {"start": f"{long_ago - timedelta(hours=1):%FT%TZ}", "end": f"{long_ago + timedelta(hours=1):%FT%TZ}"}
        run = machine.wait_for_end(machine.start("mimecast-backfill/backfill", **given))
        assert run.state_name == "Completed"
        with machine.store.reader() as tables:
            assert tables.rows("SELECT detected_at FROM scans ORDER BY ALL LIMIT 1") == [(long_ago,)]
            assert (str(run.id),) in tables.rows("SELECT flow_run_id FROM windows WHERE trigger = 'backfill'")


def everything_is_deployed_and_a_switch_stays_as_it_is(machine: Machine) -> None:
    declared = yaml.safe_load(prefect_yaml.FILE.read_text(encoding="utf-8"))["deployments"]
    assert {each.name for each in machine.client.read_deployments()} == {each["name"] for each in declared} | {"acme"}
    machine.switch("connectors-apply/connectors-apply", on=False)
    of_groups, of_connectors = (machine.automation(f"attachment-alerts, {kind}") for kind in ("groups", "connectors"))
    assert not of_groups.enabled
    machine.client.resume_automation(of_connectors.id)
    prefect_yaml.deploy()
    again = machine.deployment("connectors-apply/connectors-apply")
    assert [schedule.active for schedule in again.schedules] == [False]
    assert [machine.automation(each.name).enabled for each in (of_groups, of_connectors)] == [False, True]


def of_the_schedule(client: SyncPrefectClient) -> list[FlowRun]:
    """All runs of the connector's deployment, which only its schedule creates."""
    return client.read_flow_runs(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["acme"])))


def ended(run: FlowRun) -> bool:
    # A run that is due during another one is cancelled and has no artifacts.
    return run.state is not None and run.state.is_final() and not run.state.is_cancelled()
