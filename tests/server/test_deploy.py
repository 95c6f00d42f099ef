"""prefect.yaml on a real server: deployed as it is, and again without touching a switch."""

from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import deploying
from tests.server import running

pytestmark = pytest.mark.server


def test_everything_is_deployed_and_a_switch_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = running.own_environment(tmp_path)
    with running.server(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with (
            temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            deploying.deploy()
            declared = yaml.safe_load(deploying.FILE.read_text(encoding="utf-8"))["deployments"]
            assert {each.name for each in client.read_deployments()} == {each["name"] for each in declared}
            apply = client.read_deployment_by_name("connectors-apply/connectors-apply")
            client.update_deployment_schedule(apply.id, apply.schedules[0].id, active=False)
            deploying.deploy()
            again = client.read_deployment_by_name("connectors-apply/connectors-apply")
            assert [schedule.active for schedule in again.schedules] == [False]
