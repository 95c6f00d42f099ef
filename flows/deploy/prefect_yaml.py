"""Deploy prefect.yaml to the server in use: work pools, deployments and triggers."""

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
    deployments: list[dict[str, Any]] = _file()["deployments"]
    return deployments


def _file() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def pool_names() -> list[str]:
    """The work pools that prefect.yaml names."""
    return sorted({deployment["work_pool"]["name"] for deployment in declared_deployments()})


def process_pools() -> list[str]:
    """The process work pools among them: `serve` starts workers for these only."""
    with prefect_client() as client:
        return [pool for pool in pool_names() if client.read_work_pool(pool).type == "process"]


def unrestricted_pools() -> list[str]:
    """The process work pools whose template lets whoever starts a run choose its command or environment."""
    with prefect_client() as client:
        pools = [client.read_work_pool(name) for name in pool_names()]
    return [
        pool.name
        for pool in pools
        if pool.type == "process" and UNSAFE_VARIABLES & _variables(pool.base_job_template).keys()
    ]


def deploy(*, notify: bool | None = None) -> None:
    """Create or update the work pools and run `prefect deploy --all`; switches of schedules and triggers are kept.

    `notify`: whether notifications are configured; None if the workers' settings are unknown. Raises NotDeployed.
    """
    declared = _file()
    with prefect_client() as client:
        # With `pull` steps, the checkout of the worker, and so its interpreter, is at another path.
        template = pool_template(None if "pull" in declared else shlex.join([sys.executable, "-m", "prefect.engine"]))
        for pool in pool_names():
            ensure_pool(client, pool, template)
        before = triggers.read_switches(client, declared["deployments"])
    deployments = triggers.with_switches(declared["deployments"], before, notify)
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(declared | {"deployments": deployments}, file)
        file.flush()
        _run_prefect_deploy(file.name)


def pool_template(command: str | None) -> dict[str, Any]:
    """The job template of our pools; its only variable is whether the worker prints the output of a run.

    `command` starts a run. Without one, Prefect first starts another process that may fetch code, which takes as long
    to load as the run itself, and again when a run is cancelled.
    """
    stream_output = ProcessWorker.get_default_base_job_template()["variables"]["properties"][OFFERED_VARIABLE]
    return {
        "job_configuration": {"command": command, OFFERED_VARIABLE: f"{{{{ {OFFERED_VARIABLE} }}}}"},
        "variables": {"type": "object", "properties": {OFFERED_VARIABLE: stream_output}},
    }


def ensure_pool(client: SyncPrefectClient, pool: str, template: dict[str, Any]) -> None:
    """Create the work pool, or update its template unless the site has changed it."""
    try:
        present = client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        return
    replaceable = [_identity(known) for known in (template, ProcessWorker.get_default_base_job_template())]
    is_replaceable = present.type == "process" and _identity(present.base_job_template) in replaceable
    if is_replaceable and present.base_job_template != template:
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))


def _identity(template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What distinguishes a site's own template: not the path of the interpreter, nor the wording of a version."""
    configuration = dict(template.get("job_configuration", {}))
    if not str(configuration.get("command")).startswith("{{"):  # a placeholder would offer the command
        configuration.pop("command", None)
    return configuration, {name: variable.get("default") for name, variable in _variables(template).items()}


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
