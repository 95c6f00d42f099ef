"""What prefect.yaml declares, put on the server in use by Prefect itself: work pools, deployments, triggers."""

import os
import shlex
import subprocess
import sys
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.deploy import triggers
from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import NotDeployed
from tasks.sanitize import plain
from tasks.settings import CHECKOUT

OFFERED_VARIABLE = "stream_output"
UNSAFE_VARIABLES = {"command", "env", "working_dir"}
FILE = CHECKOUT / "prefect.yaml"


def declared_deployments() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    found: list[dict[str, Any]] = _file()["deployments"]
    return found


def _file() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def pool_names() -> list[str]:
    """The work pools that prefect.yaml names."""
    return sorted({each["work_pool"]["name"] for each in declared_deployments()})


def process_pools() -> list[str]:
    """Those of them whose workers start processes; others have workers of their own elsewhere."""
    with prefect_client() as client:
        return [pool for pool in pool_names() if client.read_work_pool(pool).type == "process"]


def unrestricted_pools() -> list[str]:
    """Those whose template lets whoever starts a run choose what is executed, or in which environment."""
    with prefect_client() as client:
        found = [client.read_work_pool(pool) for pool in pool_names()]
    return [
        each.name for each in found if each.type == "process" and UNSAFE_VARIABLES & _variables(each.base_job_template)
    ]


def deploy(*, told: bool | None = None) -> None:
    """Run `prefect deploy --all`; switches of schedules and of triggers stay as they are.

    A work pool that is missing is made; its workers start processes on their own machine. The template of one is ours,
    unless a site has changed it.
    `told`: whether anybody is to be told of events, where the workers' settings are known.
    Raises NotDeployed.
    """
    given = _file()
    with prefect_client() as client:
        # By `pull` a site says where others have the checkout, and so its interpreter.
        wanted = pool_template(None if "pull" in given else shlex.join([sys.executable, "-m", "prefect.engine"]))
        for pool in pool_names():
            ensure_pool(client, pool, wanted)
        before = triggers.read_switches(client, given["deployments"])
    deployments = triggers.with_switches(given["deployments"], before, told)
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(given | {"deployments": deployments}, file)
        file.flush()
        _run_prefect_deploy(file.name)


def pool_template(command: str | None) -> dict[str, Any]:
    """What a run of our pools is made of: all of it fixed but whether the worker shows what the run says.

    `command`: to begin runs by. For want of one, Prefect has a process before it that may fetch code. That one takes
    as long to load as the run itself, and what is cancelled waits for yet another one.
    """
    shown = ProcessWorker.get_default_base_job_template()["variables"]["properties"][OFFERED_VARIABLE]
    return {
        "job_configuration": {"command": command, OFFERED_VARIABLE: f"{{{{ {OFFERED_VARIABLE} }}}}"},
        "variables": {"type": "object", "properties": {OFFERED_VARIABLE: shown}},
    }


def ensure_pool(client: SyncPrefectClient, pool: str, wanted: dict[str, Any]) -> None:
    """Make a work pool that is missing; give ours to one that has Prefect's template, or ours of another checkout."""
    try:
        present = client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=wanted))
        return
    ours = (_template_identity(wanted), _template_identity(ProcessWorker.get_default_base_job_template()))
    if (
        present.type == "process"
        and present.base_job_template != wanted
        and _template_identity(present.base_job_template) in ours
    ):
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=wanted))


def _template_identity(template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What tells a template from others: the interpreter differs with the checkout, the wording with the version."""
    configuration = dict(template.get("job_configuration", {}))
    if not _placeholder(configuration.get("command")):
        configuration.pop("command", None)
    properties = template.get("variables", {}).get("properties", {})
    return configuration, {name: each.get("default") for name, each in properties.items()}


def _placeholder(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{{")


def _variables(template: dict[str, Any]) -> set[str]:
    return set(template.get("variables", {}).get("properties", {}))


def _run_prefect_deploy(file: str) -> None:
    """Have Prefect put what a file declares on the server in use. Raises NotDeployed."""
    call = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    api = {"PREFECT_API_URL": str(get_current_settings().api.url)}
    done = subprocess.run(  # noqa: S603 - our own interpreter, nothing typed by anybody
        call, cwd=CHECKOUT, env=os.environ | api, capture_output=True, text=True, check=False
    )
    if done.returncode:
        says = (done.stderr or done.stdout).strip().splitlines()
        raise NotDeployed(f"`prefect deploy --all` failed on {api_location()}: {plain(says[-1] if says else '?')}")
