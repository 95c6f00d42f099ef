"""A schedule really produces runs, and a backfill can be started as the UI does: with a server and a worker of its own.

Everything of Prefect runs in processes with an environment of their own; this one only asks the server's API.
"""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import deploying
from flows.connectors import applied
from tasks.connectors import save_connector
from tasks.database import Store
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.simulator import V2_KEYS, Simulator, World, serve
from tasks.settings import Settings
from tests.flows.site import hours, scan
from tests.server import running

pytestmark = pytest.mark.server


def test_an_applied_schedule_produces_runs_and_the_ui_starts_a_backfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    long_ago = now - timedelta(days=9)
    store = Store(Settings(home=tmp_path))
    world = World.of_records([*hours(now, 5), scan(long_ago, 99)])
    with serve(Simulator(world)) as service, ExitStack() as stack:
        environment = running.own_environment(tmp_path)
        server = stack.enter_context(running.server(environment))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stack.enter_context(temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}))
        client = stack.enter_context(get_client(sync_client=True))
        deploying.deploy()
        call = ["-m", "prefect", "worker", "start", "--pool", *deploying.pools()]
        worker = stack.enter_context(running.started("worker", call, environment))

        fields = {"base_url": service.url, "allow_other_host": True, "first_look_back_days": 1, "polling_minutes": 5}
        fields |= {"connector_id": running.due_in(20, minutes=5), "tested_at": now}
        save_connector("acme", MimecastConnector.model_validate(V2_KEYS | fields))
        assert [(poll.deployment, poll.done) for poll in applied()] == [("mimecast/acme", "made")]
        run = running.wait_for(lambda: next(filter(ended, of_the_schedule(client)), None), server, worker)
        assert run.auto_scheduled
        assert run.state_name == "Completed"
        with store.reader() as tables:
            assert tables.rows("SELECT count(*) FROM scans") == [(5,)]
            assert (str(run.id),) in tables.rows("SELECT flow_run_id FROM windows")

        given = {"connector": "acme", "what": "missing"}
        given |= {"start": f"{long_ago - timedelta(hours=1):%FT%TZ}", "end": f"{long_ago + timedelta(hours=1):%FT%TZ}"}
        deployment = client.read_deployment_by_name("mimecast-backfill/backfill")
        begun = client.create_flow_run_from_deployment(deployment.id, parameters=given)
        run = running.wait_for(lambda: run if ended(run := client.read_flow_run(begun.id)) else None, server, worker)
        assert run.state_name == "Completed"
        with store.reader() as tables:
            assert tables.rows("SELECT detected_at FROM scans ORDER BY ALL LIMIT 1") == [(long_ago,)]
            assert (str(run.id),) in tables.rows("SELECT flow_run_id FROM windows WHERE trigger = 'backfill'")


def of_the_schedule(client: SyncPrefectClient) -> list[FlowRun]:
    """All runs of the connector's deployment: nobody but its schedule makes any."""
    return client.read_flow_runs(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["acme"])))


def ended(run: FlowRun) -> bool:
    # One that is due while another runs is cancelled and shows nothing.
    return run.state is not None and run.state.is_final() and not run.state.is_cancelled()
