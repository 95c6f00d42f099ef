"""What prefect.yaml declares, put on the server in use by Prefect itself: work pools, deployments, triggers."""

import os
import subprocess
import sys
from typing import Any

import yaml
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows import triggers
from tasks.connectors import asked_where, prefect_client
from tasks.errors import NotDeployed
from tasks.settings import CHECKOUT
from tasks.untrusted import plain

FILE = CHECKOUT / "prefect.yaml"


def declared() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    found: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    return found


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
    with prefect_client() as client:
        before = triggers.switches(client, declared())
        for pool in pools():
            try:
                client.read_work_pool(pool)
            except ObjectNotFound:
                template = ProcessWorker.get_default_base_job_template()
                client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    call = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
    api = {"PREFECT_API_URL": str(get_current_settings().api.url)}
    done = subprocess.run(  # noqa: S603 - our own interpreter, nothing typed by anybody
        call, cwd=CHECKOUT, env=os.environ | api, capture_output=True, text=True, check=False
    )
    with prefect_client() as client:  # also after a failure, which may have come when they were made anew already
        triggers.switch(client, declared(), before, told)
    if done.returncode:
        says = (done.stderr or done.stdout).strip().splitlines()
        raise NotDeployed(f"`prefect deploy --all` failed on {asked_where()}: {plain(says[-1] if says else '?')}")
