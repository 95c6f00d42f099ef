"""A test run that is killed leaves no process behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.settings import CHECKOUT
from tests.server import running

pytestmark = pytest.mark.server


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_server(process: psutil.Process) -> bool:
    try:
        return {"server", "start"} <= set(process.cmdline())
    except psutil.Error:
        return False


def test_killed_run_leaves_no_process(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "pytest", "-n", "2", "-m", "server", "tests/connectors/test_saved_connectors.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with (tmp_path / "run.log").open("wb") as log:
        run = subprocess.Popen(call, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)
    parent = psutil.Process(run.pid)
    running.wait_for(lambda: any(map(is_server, parent.children(recursive=True))), run)
    started = parent.children(recursive=True)
    assert len(started) >= 4  # two workers, the watch and the server
    run.kill()
    run.wait()
    running.wait_for(lambda: not [process for process in started if is_alive(process)])
