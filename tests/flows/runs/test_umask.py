"""Files of a run in the process of a worker that was not started by the command."""

import subprocess
import sys
from pathlib import Path

import yaml

from tasks.settings import CHECKOUT

LOAD = """
import pathlib, sys
from prefect.flows import load_flow_from_entrypoint
load_flow_from_entrypoint(sys.argv[1], use_placeholder_flow=False)
pathlib.Path(sys.argv[2]).touch()
"""


def test_run_of_any_deployment_creates_private_files(tmp_path: Path) -> None:
    deployments = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    files = sorted({deployment["entrypoint"].partition(":")[0] for deployment in deployments})
    imported = [path for path in files if "from flows.runs" in (CHECKOUT / path).read_text(encoding="utf-8")]
    assert imported == files
    call = [sys.executable, "-c", LOAD, deployments[0]["entrypoint"], str(tmp_path / "file")]
    subprocess.run(call, cwd=CHECKOUT, umask=0, check=True, timeout=120)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
