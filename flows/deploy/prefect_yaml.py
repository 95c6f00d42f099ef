"""Deploys what prefect.yaml declares to the server in use: work pools, deployments and triggers."""

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
    """The process work pools among them, whose workers we start; other types have their workers elsewhere."""
    with prefect_client() as client:
        return [pool for pool in pool_names() if client.read_work_pool(pool).type == "process"]


def unrestricted_pools() -> list[str]:
    """Those whose template lets whoever starts a run choose the command or its environment."""
    with prefect_client() as client:
        found = [client.read_work_pool(pool) for pool in pool_names()]
    process = [each for each in found if each.type == "process"]
    return [each.name for each in process if UNSAFE_VARIABLES & _variables(each.base_job_template).keys()]


def deploy(*, notify: bool | None = None) -> None:
    """Run `prefect deploy --all`; switches of schedules and of triggers stay as they are.

    Creates a missing work pool, and updates the template of one unless the site has changed it.
    `notify`: whether notifications are configured; None if the workers' settings are unknown.
    Raises NotDeployed.
    """
    given = _file()
    with prefect_client() as client:
        # A site with `pull` steps has the checkout, and so the interpreter, at another place.
        template = pool_template(None if "pull" in given else shlex.join([sys.executable, "-m", "prefect.engine"]))
        for pool in pool_names():
            ensure_pool(client, pool, template)
        before = triggers.read_switches(client, given["deployments"])
    deployments = triggers.with_switches(given["deployments"], before, notify)
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(given | {"deployments": deployments}, file)
        file.flush()
        _run_prefect_deploy(file.name)


def pool_template(command: str | None) -> dict[str, Any]:
    """The job template of our pools: it offers nothing but whether the worker prints the output of a run.

    `command`: starts a run. Without one, Prefect first starts a process that may fetch code, which takes as long to
    load as the run itself, and again when a run is cancelled.
    """
    stream_output = ProcessWorker.get_default_base_job_template()["variables"]["properties"][OFFERED_VARIABLE]
    return {
        "job_configuration": {"command": command, OFFERED_VARIABLE: f"{{{{ {OFFERED_VARIABLE} }}}}"},
        "variables": {"type": "object", "properties": {OFFERED_VARIABLE: stream_output}},
    }


def ensure_pool(client: SyncPrefectClient, pool: str, template: dict[str, Any]) -> None:
    """Create the work pool, or update the template of one that has Prefect's default or ours of another checkout."""
    try:
        present = client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        return
    replaceable = [_identity(each) for each in (template, ProcessWorker.get_default_base_job_template())]
    is_replaceable = present.type == "process" and _identity(present.base_job_template) in replaceable
    if is_replaceable and present.base_job_template != template:
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))


def _identity(template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes a template the site's own: not the interpreter of a checkout or the wording of a version."""
    configuration = dict(template.get("job_configuration", {}))
    if not str(configuration.get("command")).startswith("{{"):  # a placeholder would offer the command
        configuration.pop("command", None)
    return configuration, {name: each.get("default") for name, each in _variables(template).items()}


def _variables(template: dict[str, Any]) -> dict[str, Any]:
    return dict(template.get("variables", {}).get("properties", {}))


def _run_prefect_deploy(file: str) -> None:
    """Raises NotDeployed."""
    call = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    api = {"PREFECT_API_URL": str(get_current_settings().api.url)}
    done = subprocess.run(  # noqa: S603 - our own interpreter, no input from outside
        call, cwd=CHECKOUT, env=os.environ | api, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = plain(lines[-1]) if lines else f"exit status {done.returncode}"
        raise NotDeployed(
            f"`prefect deploy --all` failed on {api_location()}: {reason}. Correct prefect.yaml or the server."
        )
