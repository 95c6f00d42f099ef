"""What prefect.yaml declares, put on the server in use by Prefect itself: work pools, deployments, triggers."""

import os
import shlex
import subprocess
import sys
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.deploy import triggers
from tasks.connectors.prefect_client import asked_where, prefect_client
from tasks.errors import NotDeployed
from tasks.sanitize import plain
from tasks.settings import CHECKOUT

FILE = CHECKOUT / "prefect.yaml"


def declared() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    found: list[dict[str, Any]] = _file()["deployments"]
    return found


def _file() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def pools() -> list[str]:
    """The work pools that prefect.yaml names."""
    return sorted({each["work_pool"]["name"] for each in declared()})


def process_pools() -> list[str]:
    """Those of them whose workers start processes; others have workers of their own elsewhere."""
    with prefect_client() as client:
        return [pool for pool in pools() if client.read_work_pool(pool).type == "process"]


def deploy(*, told: bool | None = None) -> None:
    """Run `prefect deploy --all`; switches of schedules and of triggers stay as they are.

    A work pool that is missing is made; its workers start processes on their own machine.
    `told`: whether anybody is to be told of events, where the workers' settings are known.
    Raises NotDeployed.
    """
    given = _file()
    with prefect_client() as client:
        for pool in pools():
            _made(client, pool)
        before = triggers.switches(client, given["deployments"])
    deployments = triggers.switched(given["deployments"], before, told)
    if "pull" not in given:  # by which a site says where others have the checkout, and so its interpreter
        processes = process_pools()
        deployments = [_at_once(each) if each["work_pool"]["name"] in processes else each for each in deployments]
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(given | {"deployments": deployments}, file)
        file.flush()
        _deploy_all(file.name)


def _made(client: SyncPrefectClient, pool: str) -> None:
    """Make a work pool that is missing."""
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))


def _at_once(deployment: dict[str, Any]) -> dict[str, Any]:
    """With a command to begin its runs by: for want of one, Prefect has a process before it that may fetch code.

    That one takes as long to load as the run itself, and what is cancelled waits for yet another one.
    """
    given = deployment["work_pool"].get("job_variables", {})
    command = shlex.join([sys.executable, "-m", "prefect.engine"])
    return deployment | {"work_pool": deployment["work_pool"] | {"job_variables": {"command": command} | given}}


def _deploy_all(file: str) -> None:
    """Have Prefect put what a file declares on the server in use. Raises NotDeployed."""
    call = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    api = {"PREFECT_API_URL": str(get_current_settings().api.url)}
    done = subprocess.run(  # noqa: S603 - our own interpreter, nothing typed by anybody
        call, cwd=CHECKOUT, env=os.environ | api, capture_output=True, text=True, check=False
    )
    if done.returncode:
        says = (done.stderr or done.stdout).strip().splitlines()
        raise NotDeployed(f"`prefect deploy --all` failed on {asked_where()}: {plain(says[-1] if says else '?')}")
