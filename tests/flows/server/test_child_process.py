"""Child processes: their environment and logs, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

from flows.server import parent_watch, prefect_settings
from flows.server.child_process import ChildProcess
from flows.server.run_cancellation import descendants


def run_to_end(folder: Path, script: str, **environment: str) -> ChildProcess:
    child = ChildProcess("worker", ["-c", script], folder, environment)
    while child.exit_status is None:
        time.sleep(0.05)
    child.stop(5)
    return child


def test_child_that_ends_keeps_exit_status_and_output(tmp_path: Path) -> None:
    child = run_to_end(tmp_path, "import os; print(os.environ['GIVEN']); raise SystemExit(3)", GIVEN="value")
    assert child.exit_status == 3
    assert child.log == tmp_path / "worker.log"
    assert child.log.read_text() == "value\n"


@pytest.mark.parametrize("encoding", ["iso-8859-1", "cp1252", "ascii"])
def test_log_is_utf_8_in_any_locale(encoding: str, tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"PYTHONIOENCODING": encoding}):
        child = run_to_end(tmp_path, "print('✔ Łódź \\udcff')")
    assert child.exit_status == 0
    assert child.log.read_text(encoding="utf-8") == "✔ Łódź \\udcff\n"


def test_logs_are_rotated_at_start_and_private(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("0\n")
    (tmp_path / "worker.log").chmod(0o644)  # as written by an earlier version
    for number in range(1, 8):
        run_to_end(tmp_path, f"print({number})")
    kept = {each.name: each.read_text().strip() for each in tmp_path.iterdir()}
    assert kept == {"worker.log": "7"} | {f"worker.log.{age}": str(7 - age) for age in range(1, 6)}
    assert [each for each in tmp_path.iterdir() if each.stat().st_mode & 0o077] == []


def test_settings_of_history_cleanup_reach_the_server(tmp_path: Path) -> None:
    enabled, period = (f"PREFECT_SERVER_SERVICES_DB_VACUUM_{name}" for name in ("ENABLED", "RETENTION_PERIOD"))
    with mock.patch.dict(os.environ, {period: "86400"}):
        os.environ.pop(enabled, None)
        prefect_settings.apply()
        child = run_to_end(tmp_path, f"import os; print(os.environ[{enabled!r}], os.environ[{period!r}])")
    kinds, seconds = child.log.read_text().split()
    vacuum = ServerServicesDBVacuumSettings(enabled=kinds, retention_period=seconds)
    assert (vacuum.enabled, vacuum.retention_period) == ({"events", "flow_runs"}, timedelta(days=1))


def test_child_of_a_killed_parent_is_terminated() -> None:
    child = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    watch = subprocess.Popen(
        [sys.executable, parent_watch.__file__, *child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert watch.stdin
    assert watch.stdout
    assert watch.stdout.readline() == "up\n"
    watch.stdin.close()  # as the system does when the parent is killed
    assert watch.wait(timeout=50) == 128 + signal.SIGTERM  # as a shell reports it
    watch.stdout.close()


@pytest.fixture
def in_own_session() -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    yield child
    child.communicate()


def test_process_in_another_session_is_a_descendant(in_own_session: "subprocess.Popen[bytes]") -> None:
    assert str(in_own_session.pid) in descendants(os.getpid())
    assert str(os.getpid()) not in descendants(in_own_session.pid)
