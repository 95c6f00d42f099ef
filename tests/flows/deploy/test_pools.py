"""The job template of the work pool: what a run may choose, and when a deploy replaces it."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.workers.process import ProcessWorker

from flows.deploy import prefect_yaml as deploying

pytestmark = pytest.mark.server

OURS = deploying.pool_template("/srv/new/python -m prefect.engine")


@pytest.fixture
def client(prefect_api: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def set_up(client: SyncPrefectClient, name: str) -> dict[str, Any]:
    """The template of a pool after a deploy."""
    deploying.ensure_pool(client, name, OURS)
    return dict(client.read_work_pool(name).base_job_template)


def test_ensure_pool_replaces_only_default_and_own_templates(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "pool_names", lambda: ["new", "old", "moved", "own", "other"])
    prefects, own = ProcessWorker.get_default_base_job_template(), deploying.pool_template(None)
    own["variables"]["properties"]["env"] = {"type": "object"}
    given = {"old": prefects, "moved": deploying.pool_template("/srv/old/python -m prefect.engine"), "own": own}
    for name, template in given.items():
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
    client.create_work_pool(WorkPoolCreate(name="other", type="docker", base_job_template=prefects))
    assert [set_up(client, name) for name in ("new", "old", "moved")] == [OURS] * 3
    assert set_up(client, "own") == own
    assert set_up(client, "other") == prefects
    assert deploying.unrestricted_pools() == ["own"]
    client.update_work_pool("own", WorkPoolUpdate(base_job_template=deploying.pool_template("/srv/own/wrapper.sh")))
    assert deploying.unrestricted_pools() == []
    for name in deploying.pool_names():
        client.delete_work_pool(name)
