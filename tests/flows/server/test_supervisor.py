"""What `serve` refuses and what it reports, without a server."""

import socket
from pathlib import Path

import pytest

from flows.deploy.triggers import DISABLED_NOTE, Switch, desired_switch, with_switches
from flows.server import prefect_server
from flows.server.supervisor import Report
from tasks.errors import OperatorError


def test_port_in_use_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=str(port)):
            prefect_server.start("127.0.0.1", port, "admin:hush", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unusable_connector_is_reported_once_and_again_when_its_problem_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report()
    for problem, printed in (
        ("no key", "no key\n"),
        ("no key", ""),
        ("no id", "no id\n"),
        ("", ""),
        ("no id", "no id\n"),
    ):
        report.unusable_connectors({"acme": problem} if problem else {})
        assert capsys.readouterr().err == printed


def test_triggers_are_off_without_notifications_and_keep_a_persons_switch() -> None:
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
