"""What `serve` refuses, and what ties a child to its parent: without a server."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

from flows.deploy.triggers import DISABLED_NOTE, Switch, desired_switch, with_switches
from flows.server import parent_watch, prefect_server, prefect_settings, run_log
from flows.server.child_process import Child
from flows.server.demo_server import free_port
from flows.server.supervisor import Troubles
from tasks.errors import OperatorError


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with prefect_server.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OperatorError, match=r"Nothing can listen on 127\.0\.0\.1 port \d+ .* --port"):
            prefect_server.child("127.0.0.1", taken.getsockname()[1], tmp_path, "admin:hush")


def test_what_cleans_up_prefects_history_reaches_the_server(tmp_path: Path) -> None:
    enabled, period = (f"PREFECT_SERVER_SERVICES_DB_VACUUM_{name}" for name in ("ENABLED", "RETENTION_PERIOD"))
    with mock.patch.dict(os.environ, {period: "86400"}):
        os.environ.pop(enabled, None)
        prefect_settings.apply()
        server = prefect_server.child("127.0.0.1", free_port(), tmp_path, "admin:hush")
        server._call = [
            sys.executable,
            "-S",
            "-c",
            f"import os; print(os.environ[{enabled!r}], os.environ[{period!r}])",
        ]
        server.start()
        assert server._process
        server._process.wait()
        server.stop(5)
    kinds, seconds = server.log.read_text().split()
    vacuum = ServerServicesDBVacuumSettings(enabled=kinds, retention_period=seconds)
    assert (vacuum.enabled, vacuum.retention_period) == ({"events", "flow_runs"}, timedelta(days=1))


def test_what_is_wrong_with_a_connector_is_said_once_and_again_when_it_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    troubles = Troubles()
    for wrong, told in (("no key", "no key\n"), ("no key", ""), ("no id", "no id\n"), ("", ""), ("no id", "no id\n")):
        troubles.tell_new({"acme": wrong} if wrong else {})
        assert capsys.readouterr().err == told


def test_triggers_are_off_while_nobody_is_told_and_a_persons_switch_stays() -> None:
    new, waiting, by_person = Switch(), Switch(on=False, waits=True), Switch(on=False)
    in_spite_of_all = Switch(on=True, waits=True)
    assert [desired_switch(new, notify) for notify in (True, False, None)] == [new, waiting, new]
    assert [desired_switch(waiting, notify) for notify in (True, False, None)] == [new, waiting, waiting]
    for person in (by_person, in_spite_of_all):
        assert [desired_switch(person, notify) for notify in (True, False, None)] == [person] * 3
    declared = [{"name": "notify", "triggers": [{"name": name, "description": "A change."} for name in "abc"]}]
    made = with_switches(declared, {"a": new, "b": waiting, "c": by_person}, notify=None)[0]["triggers"]
    assert [each["enabled"] for each in made] == [True, False, False]
    assert [each["description"] for each in made] == ["A change.", f"A change. {DISABLED_NOTE}", "A change."]


def test_the_leash_ends_a_command_with_whoever_started_it(tmp_path: Path) -> None:
    child = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    parent = subprocess.Popen(
        [sys.executable, parent_watch.__file__, *child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin
    assert parent.stdout
    assert parent.stdout.readline() == "up\n"
    parent.stdin.close()  # what the system does when the one that holds it is killed
    assert parent.wait(timeout=50) == 128 + signal.SIGTERM  # a shell's way of saying so
    parent.stdout.close()


def test_a_run_is_found_by_its_process_wherever_it_was_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    assert os.getpid() in run_log._ancestors(str(child.pid), run_log._parents())
    assert child.pid not in run_log._ancestors(str(os.getpid()), run_log._parents())
    assert list(run_log._ancestors(None, run_log._parents())) == []
    child.communicate()


def test_a_child_that_ends_is_started_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.log").touch()
    (tmp_path / "worker.log").chmod(0o644)  # as an earlier version left it
    child = Child("worker", [], tmp_path, {})
    child._call = [sys.executable, "-c", "print('out of memory'); raise SystemExit(3)"]
    child.start()
    first = child._process
    assert first
    first.wait()
    assert child.revive() == f"The worker has ended (status 3; {tmp_path / 'worker.log'} may say why). It starts again."
    assert child.revive() is None  # not at once
    child._starts_at = time.monotonic()
    assert child.revive() is None
    assert child.pid not in (None, first.pid)
    assert child.log.read_text().startswith("out of memory")
    assert child.log.stat().st_mode & 0o077 == 0
    child.stop(5)
    assert not child.alive
