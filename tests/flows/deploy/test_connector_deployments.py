"""Deployments that poll the saved connectors: created, changed, switched on once, renamed and removed."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from filelock import FileLock
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact, ConcurrencyLimitConfig
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import Completed

from flows import entra, mimecast
from flows.artifacts import dashboard_writer
from flows.cli import connector_actions
from flows.connectors import connectors_apply
from flows.connectors import test_connection as connection_test
from flows.deploy import apply, connector_deployments
from flows.deploy.apply import apply_connectors
from flows.deploy.connector_status import connector_statuses
from flows.deploy.product_flows import FLOWS
from flows.runs import events
from flows.runs.connector_run import check_row
from tasks.entra.connector import EntraConnector
from tasks.errors import NotDeployed
from tasks.http.check import Check
from tasks.http.tls_check import REACHED
from tasks.ingest.connector_source import source_of
from tasks.mimecast.check import AFTER_REACH
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import load_all, load_connector, remove, rename, save_connector, saved_names
from tasks.settings import Settings
from tasks.store import embedded
from tasks.store.factory import open_store
from tests.flows.site import change, scan
from tests.flows.site import connector as simulated
from tests.scans import load, rows
from tests.scans import scan as stored_scan
from tests.simulator import Simulator, World, serve

pytestmark = pytest.mark.server

SECRET = "hush-hush"
NOW = datetime.now(UTC)
POOL = "attachment-alerts"


def mimecast_account(**fields: Any) -> MimecastConnector:
    values = {"client_id": f"client-{uuid4()}", "client_secret": SECRET, "polling_minutes": 5}
    return MimecastConnector.model_validate(values | fields)


@pytest.fixture(scope="module")
def originals(prefect_api: None) -> Iterator[SyncPrefectClient]:
    """Create what `prefect deploy --all` creates, as far as it is copied."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW")
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        made = [
            each.to_deployment(name, concurrency_limit=one, tags=["attachment-alerts"]).apply(work_pool_name=POOL)
            for each, name in ((mimecast.mimecast, "poll"), (entra.entra, "directory-pull"))
        ]
        yield client
        for each in made:
            client.delete_deployment(each)
        client.delete_work_pool(POOL)


@pytest.fixture
def client(originals: SyncPrefectClient, home: Path) -> Iterator[SyncPrefectClient]:
    yield originals
    for name in saved_names():
        remove(name)
    apply_connectors()


def deployment(client: SyncPrefectClient, name: str = "mimecast/acme") -> DeploymentResponse:
    return client.read_deployment_by_name(name)


def switch(client: SyncPrefectClient, name: str, *, on: bool) -> None:
    """What a person does in the UI."""
    found = deployment(client, name)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=on)


def switched_on(client: SyncPrefectClient, name: str = "mimecast/acme") -> list[bool]:
    return [schedule.active for schedule in deployment(client, name).schedules]


def done() -> dict[str, str]:
    return {poll.deployment: poll.done for poll in apply_connectors().polls}


def test_apply_to_a_server_without_prefect_yaml_raises_not_deployed(prefect_api: None, home: Path) -> None:
    with get_client(sync_client=True) as client:
        assert connector_deployments.read_deployments(client, "mimecast").template is None
    save_connector("acme", mimecast_account())
    with pytest.raises(NotDeployed, match="attachment-alerts serve"):
        apply_connectors()
    remove("acme")


def test_apply_creates_a_deployment_per_connector_switched_off_until_tested(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account())
    save_connector("tested", mimecast_account(tested_at=NOW, polling_minutes=60))
    save_connector("corp", EntraConnector(directory_id=str(uuid4()), client_id=str(uuid4()), client_secret=SECRET))
    polls = {poll.deployment: (poll.done, poll.polling, poll.untested) for poll in apply_connectors().polls}
    assert polls == {
        "mimecast/acme": ("created", False, True),
        "mimecast/tested": ("created", True, False),
        "entra/corp": ("created", False, True),
    }
    for name, minutes, on in (("mimecast/acme", 5, False), ("mimecast/tested", 60, True), ("entra/corp", 1440, False)):
        made = deployment(client, name)
        assert made.parameters == {"connector": (alone := name.partition("/")[2])}
        assert made.parameter_openapi_schema
        assert made.parameter_openapi_schema["properties"]["connector"]["enum"] == [alone]
        assert [(each.active, each.schedule.interval) for each in made.schedules] == [(on, timedelta(minutes=minutes))]
        assert made.global_concurrency_limit
        assert made.concurrency_options
        assert (made.global_concurrency_limit.limit, made.concurrency_options.collision_strategy) == (1, "CANCEL_NEW")
        assert made.work_pool_name == POOL
        assert SECRET not in made.model_dump_json()


def test_apply_again_changes_nothing(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account())
    apply_connectors()
    before = deployment(client)
    assert done() == {"mimecast/acme": "unchanged"}
    assert deployment(client) == before


def test_successful_connection_test_switches_on_once(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account())
    apply_connectors()
    change("acme", tested_at=NOW)
    assert done() == {"mimecast/acme": "switched on"}
    assert switched_on(client) == [True]
    switch(client, "mimecast/acme", on=False)
    change("acme", tested_at=NOW + timedelta(hours=1))
    assert done() == {"mimecast/acme": "unchanged"}
    assert switched_on(client) == [False]


def test_apply_with_outdated_deployments_changes_nothing(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_connector("acme", mimecast_account())
    apply_connectors()
    before = connector_deployments.read_deployments(client, "mimecast")
    change("acme", tested_at=NOW)
    assert done() == {"mimecast/acme": "switched on"}
    with monkeypatch.context() as late:  # the other apply has read the deployments before
        late.setattr(connector_deployments, "read_deployments", lambda _client, _product: before)
        late.setattr(connector_deployments, "FLOWS", {"mimecast": FLOWS["mimecast"]})
        assert done() == {"mimecast/acme": "unchanged"}
    assert switched_on(client) == [True]


def test_switch_set_by_a_person_before_the_test_is_kept(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account())
    apply_connectors()
    switch(client, "mimecast/acme", on=True)
    apply_connectors()
    switch(client, "mimecast/acme", on=False)
    change("acme", tested_at=NOW)
    assert done() == {"mimecast/acme": "unchanged"}
    assert switched_on(client) == [False]


@pytest.mark.parametrize("on", [True, False])
def test_new_frequency_changes_only_the_schedule(client: SyncPrefectClient, on: bool) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    switch(client, "mimecast/acme", on=on)
    before = deployment(client)
    change("acme", polling_minutes=30)
    (poll,) = apply_connectors().polls
    assert (poll.done, poll.every, poll.polling, poll.untested) == ("changed", timedelta(minutes=30), on, False)
    after = deployment(client)
    assert [(each.active, each.schedule.interval) for each in after.schedules] == [(on, timedelta(minutes=30))]
    assert after.schedules[0].id == before.schedules[0].id
    same = {"schedules", "updated"}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)
    assert done() == {"mimecast/acme": "unchanged"}


def test_schedule_deleted_by_a_person_stays_deleted(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    found = deployment(client)
    client.delete_deployment_schedule(found.id, found.schedules[0].id)
    change("acme", polling_minutes=30)
    assert done() == {"mimecast/acme": "unchanged"}
    assert deployment(client).schedules == []


def test_rename_keeps_the_switch_and_remove_deletes_the_deployment(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    switch(client, "mimecast/acme", on=False)
    rename("acme", "acme-emea")
    assert done() == {"mimecast/acme-emea": "renamed"}
    assert switched_on(client, "mimecast/acme-emea") == [False]
    assert deployment(client, "mimecast/acme-emea").parameters == {"connector": "acme-emea"}
    remove("acme-emea")
    assert done() == {"mimecast/acme-emea": "removed"}
    assert connector_deployments.schedule_switches() == {}


def test_new_connector_of_a_removed_name_starts_switched_off(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    remove("acme")
    save_connector("acme", mimecast_account())
    assert done() == {"mimecast/acme": "created"}
    assert switched_on(client) == [False]


def healthy(home: Path) -> list[str]:
    """Names of the connectors in the health table."""
    with open_store(Settings(home=home)).reader() as reader:
        return [name for (name,) in reader.rows("SELECT connector FROM connector_health")]


def test_connector_deleted_in_the_ui_disappears_from_health(client: SyncPrefectClient, home: Path) -> None:
    for _ in range(2):  # the second one is another connector with the same name
        save_connector("acme", mimecast_account())
        apply_connectors()
        load(open_store(Settings(home=home)), [[stored_scan()]], source_of("acme", load_connector("acme")))
        assert healthy(home) == ["acme"]
        MimecastConnector.delete("acme")
    apply_connectors()
    assert healthy(home) == []


def test_connector_deleted_in_the_ui_can_be_purged(client: SyncPrefectClient, home: Path) -> None:
    store = open_store(Settings(home=home))
    for apply_first in (False, True):
        save_connector("acme", mimecast_account())
        apply_connectors()
        load(store, [[stored_scan()]], source_of("acme", load_connector("acme")))
        MimecastConnector.delete("acme")
        if apply_first:
            apply_connectors()
        connector_actions.remove("acme", purging=True, yes=True)
        connector_actions.update_deployment("acme", removed=True)
        assert rows(store, "SELECT count(*) FROM scans") == [(0,)]
        assert connector_deployments.schedule_switches() == {}


def test_connector_saved_during_an_apply_keeps_its_deployment(
    client: SyncPrefectClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_connector("acme", mimecast_account())
    apply_connectors()
    with monkeypatch.context() as stale:  # listed before the connector was saved
        stale.setattr(apply, "load_all", lambda: ({}, {}))
        assert apply_connectors().polls == []
    assert deployment(client).name == "acme"
    assert healthy(home) == ["acme"]


def test_unusable_connector_keeps_its_deployment(client: SyncPrefectClient, home: Path) -> None:
    account = mimecast_account(tested_at=NOW)
    save_connector("acme", account)
    apply_connectors()
    account.client_secret = None  # type: ignore[assignment]  # the form in the UI sends null
    account.save("acme", overwrite=True)
    done = apply_connectors()
    assert (done.polls, list(done.unusable)) == ([], ["acme"])
    assert healthy(home) == ["acme"]
    assert switched_on(client) == [True]
    state = connectors_apply(return_state=True)
    assert state.message and "Client secret" in state.message
    state = connection_test("acme", return_state=True)
    assert state.is_failed() and "Client secret" in (state.message or "")


def test_connector_of_another_tenant_does_not_stop_the_others(client: SyncPrefectClient, home: Path) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    load(open_store(Settings(home=home)), [[stored_scan()]], source_of("acme", load_connector("acme")))
    save_connector("other", mimecast_account())
    change("acme", tenant="elsewhere", polling_minutes=60)
    done = apply_connectors()
    assert ([poll.connector for poll in done.polls], list(done.unusable)) == (["other"], ["acme"])
    assert sorted(healthy(home)) == ["acme", "other"]
    state = connection_test("acme", return_state=True)
    assert state.is_failed()
    assert "'default'" in (state.message or "")


def test_change_of_the_template_changes_the_deployment(client: SyncPrefectClient) -> None:
    save_connector("acme", mimecast_account(tested_at=NOW))
    apply_connectors()
    switch(client, "mimecast/acme", on=False)
    client.update_deployment(deployment(client, "mimecast/poll").id, DeploymentUpdate(tags=["attachment-alerts", "x"]))
    assert done() == {"mimecast/acme": "changed"}
    assert "x" in deployment(client).tags
    assert switched_on(client) == [False]


def test_connector_with_a_reserved_name_does_not_stop_the_others(client: SyncPrefectClient) -> None:
    mimecast_account().save("poll")  # in the UI; the command would refuse the name
    save_connector("acme", mimecast_account())
    assert done() == {"mimecast/acme": "created"}
    assert list(apply_connectors().unusable) == ["poll"]


def test_health_shows_the_switch(client: SyncPrefectClient, home: Path) -> None:
    def states() -> list[tuple[str, ...]]:
        with open_store(Settings(home=home)).transaction() as transaction:
            return transaction.rows("SELECT connector, state FROM connector_health")

    def fare() -> tuple[Any, ...]:
        each = connector_statuses(load_all()[0])["acme"]
        succeeded = each.last_success_at is not None and NOW < each.last_success_at <= datetime.now(UTC)
        return each.polling, each.state, succeeded, each.lag_seconds is not None and 0 <= each.lag_seconds < 3600

    with serve(Simulator(World.of_records([]))) as running:
        save_connector("acme", simulated(running, 2))
        assert connectors_apply(return_state=True).is_completed()
        assert states() == [("acme", "never_run")]
        assert fare() == (False, "never_run", False, False)
        assert mimecast.mimecast("acme", return_state=True).is_completed()
        assert states() == [("acme", "off")]
        assert fare() == (False, "off", True, True)
        assert connection_test("acme", return_state=True).is_completed()
        assert apply_connectors().polls[0].done == "unchanged"
        assert states() == [("acme", "quiet")]
        assert fare() == (True, "quiet", True, True)
        switch(client, "mimecast/acme", on=False)
        assert states() == [("acme", "quiet")]  # the next apply updates the tables; the list is current
        assert fare() == (False, "off", True, True)


def test_connection_test_passes_while_the_store_is_locked(
    client: SyncPrefectClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_PATIENCE", 2.0)
    with serve(Simulator(World.of_records([]))) as running:
        save_connector("acme", simulated(running, 2))
        apply_connectors()
        with FileLock(home / "store.lock"):
            state = connection_test("acme", return_state=True)
    assert state.is_completed()
    assert str(home) in str(state.message)


def pages(client: SyncPrefectClient, key: str) -> list[Artifact]:
    """Versions of a dashboard, latest first."""
    page = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    return client.read_artifacts(artifact_filter=page, sort=ArtifactSort.CREATED_DESC)


def latest(client: SyncPrefectClient, key: str) -> str:
    """The state in the heading of a health page."""
    return str(pages(client, key)[0].data).partition("\n")[0].rpartition(": ")[2]


def test_run_of_a_connector_renamed_meanwhile_writes_the_page_of_the_new_name(
    client: SyncPrefectClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, store = events.send_run_events, open_store(Settings(home=home))

    def renamed_meanwhile(*given: Any) -> None:
        send(*given)
        connector_actions.rename("slow", "slower")

    @flow
    def directory_pull_ends() -> None:
        dashboard_writer.write_health_after_run(store, source, NOW, Completed())

    with serve(Simulator(World.of_records([scan(NOW - timedelta(hours=1))]))) as running:
        save_connector("slow", simulated(running, 2, tested_at=NOW))
        apply_connectors()
        source = source_of("slow", load_connector("slow"))
        monkeypatch.setattr(events, "send_run_events", renamed_meanwhile)
        assert mimecast.mimecast("slow", return_state=True).is_completed()
    assert latest(client, "health-slower") == "ok"
    directory_pull_ends()
    assert pages(client, "health-slow") == []
    assert len(pages(client, "health-slower")) == 2


def test_check_row_escapes_markdown_of_the_service() -> None:
    shown = check_row(Check("permission", "failed", "Refused: [x](http://evil.example) `b` |", "Call <b>us</b>"))
    assert shown == {
        "check": "permission", "state": "failed",
        "what was found": r"`Refused: [x](http://evil.example) 'b' \x7c`", "what to do": "`Call <b>us</b>`",
    }  # fmt: skip


def test_failed_connection_test_shows_and_logs_its_checks(
    client: SyncPrefectClient, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(Simulator(World.of_records([]))) as running:
        save_connector("acme", simulated(running, 2))
        apply_connectors()
        running.simulator.faults.inject("403", times=None)
        state = connection_test("acme", return_state=True)
    assert state.is_failed()
    of_the_test = ArtifactFilter(key=ArtifactFilterKey(any_=["test-acme"]))
    (artifact,) = client.read_artifacts(artifact_filter=of_the_test, limit=1, sort=ArtifactSort.CREATED_DESC)
    rows = json.loads(str(artifact.data))
    assert [row["check"] for row in rows] == ["address", REACHED, *AFTER_REACH]
    assert {row["check"]: row["state"] for row in rows}["permission"] == "failed"
    assert state.message
    assert state.message.startswith("permission: ")
    assert "Grant Monitoring | Attachment Protection | Read" in state.message
    told = [record for record in caplog.records if record.name == "attachment_alerts.connectors"]
    assert logging.getLogger("attachment_alerts.connectors").level == logging.INFO  # in a process of its own, too
    assert [record.getMessage().partition(":")[0] for record in told] == [row["check"] for row in rows]
    assert [record.getMessage() for record in told if record.levelname == "ERROR"] == [state.message]
    assert switched_on(client) == [False]
    assert apply_connectors().polls[0].done == "unchanged"
