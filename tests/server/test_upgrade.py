"""A site of an earlier version is migrated without changes to tables, connectors, switches and unsent messages."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.server import running
from tests.server.running import CHECKOUT
from tests.upgrade import relations, site
from tests.upgrade.outside import Outside, outside, record

pytestmark = pytest.mark.server

COMMAND = Path(sys.executable).with_name("attachment-alerts")
EXPECTED = site.expected()
MADE_AT = datetime.fromisoformat(EXPECTED["made_at"])
ANCHOR = datetime.fromisoformat(EXPECTED["anchor"])
OVERLAP = timedelta(minutes=60)  # the default of ATTACHMENT_ALERTS_OVERLAP_MINUTES
NEW = 3


class Upgraded:
    """The site in its own home, run by the program of this checkout."""

    def __init__(self, home: Path) -> None:
        self.home = home
        port = running.free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = running.own_environment(home) | {
            "PREFECT_SERVER_API_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            "ATTACHMENT_ALERTS_NOTIFY": "custom-webhook/security",
            "ATTACHMENT_ALERTS_RECHECK_HOURS": "0",  # the poll continues where the fixture ended
            "ATTACHMENT_ALERTS_REMIND_HOURS": "0",  # of groups that are new since the fixture was made
        }

    def command(self, *arguments: str) -> Any:
        """The JSON output of the installed command."""
        return json.loads(self._run(str(COMMAND), *arguments, "--json"))

    def prefect(self) -> dict[str, Any]:
        """The state of the running server."""
        found: dict[str, Any] = json.loads(self._run(sys.executable, "-m", "tests.upgrade.prefect_facts"))
        return found

    def _run(self, *call: str) -> str:
        environment = self.environment | {"PREFECT_API_URL": self.url}  # as `serve` prints for other commands
        done = subprocess.run(call, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[running.Process]:
        """Run `serve` and stop it in order."""
        log = self.home / "serving.log"
        with log.open("wb") as lines:
            process = subprocess.Popen(
                [COMMAND, "serve"], cwd=self.home, env=self.environment, stdout=lines, stderr=lines
            )
        try:
            running.wait_for(lambda: "Serving." in log.read_text(encoding="utf-8"), process)
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=90) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def upgraded(tmp_path: Path) -> Upgraded:
    return Upgraded(site.unpack(tmp_path / "home"))


@pytest.fixture
def world() -> Iterator[Outside]:
    """The services, which list what happened until a quarter of an hour after the creation of the fixture."""
    with outside(ANCHOR, ahead=MADE_AT + timedelta(minutes=15) - datetime.now(UTC)) as found:
        yield found


def test_the_installed_command_starts(tmp_path: Path) -> None:
    assert subprocess.run([COMMAND, "--help"], cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_site_of_an_earlier_version_is_migrated_unchanged(upgraded: Upgraded, world: Outside) -> None:
    upgraded.command("retention")  # opens the store, which migrates it
    rows_are_kept(upgraded.home)
    with upgraded.serving() as process:
        prefect_is_kept(upgraded.prefect())
        rows_are_kept(upgraded.home)
        keys = {
            "connectors list": upgraded.command("connectors", "list"),
            "connectors apply": upgraded.command("connectors", "apply"),
            "connectors show": upgraded.command("connectors", "show", "contoso"),
        }
        assert [poll["done"] for poll in keys["connectors apply"]] == ["unchanged"] * 3
        assert relations.pending(upgraded.home) == EXPECTED["pending"]
        assert world.messages == []

        world.contoso.add([record(MADE_AT + timedelta(minutes=5), f"new{number}") for number in range(NEW)])
        keys["poll"] = upgraded.command("poll", "contoso")
        assert (keys["poll"]["new"], keys["poll"]["changed"]) == (NEW, 0)
        assert min(start for start, _ in world.windows_asked()) >= watermark() - OVERLAP
        waiting = {each["group_id"][:8] for each in EXPECTED["pending"]}
        running.wait_for(lambda: all(any(group in text for text in world.messages) for group in waiting), process)

        keys["poll (directory)"] = upgraded.command("poll", "corp")
        keys["import-directory"] = upgraded.command("import-directory", "data/demo")
        keys["test-connection"] = upgraded.command("test-connection", "contoso")
        keys["replay"] = upgraded.command("replay")
        gone = {name: set(EXPECTED["json_keys"][name]) - {*relations.keys_of(keys[name])} for name in keys}
        assert gone == {name: set() for name in EXPECTED["json_keys"]}  # there may be new ones
        events_are_as_before(upgraded.prefect()["events"])
    scans = relations.read(upgraded.home)["scans"]["rows"]
    assert len(scans) == len(site.expected_relations()["scans"]["rows"]) + NEW


def rows_are_kept(home: Path) -> None:
    """Every row of every relation, in the old columns; there may be new ones."""
    differing = [
        name
        for name, relation in site.expected_relations().items()
        if relations.rows_of(home, name, relation["columns"]) != relation["rows"]
    ]
    assert differing == []


def prefect_is_kept(found: dict[str, Any]) -> None:
    """Ids, names, switches and keys. Deploying gives the automations of prefect.yaml new ids."""
    before = EXPECTED["prefect"]
    for name, block in before["blocks"].items():
        present = found["blocks"][name]
        assert (present["id"], present["type"]) == (block["id"], block["type"])
        assert {field: present["values"][field] for field in block["values"]} == block["values"]
    assert {name: kept(found["deployments"][name]) for name in before["deployments"]} == {
        name: kept(each) for name, each in before["deployments"].items()
    }
    switches = {name: each["enabled"] for name, each in before["automations"].items()}
    assert {name: each["enabled"] for name, each in found["automations"].items()} == switches
    own = "tell the help desk"
    assert found["automations"][own] == before["automations"][own]
    assert set(found["artifacts"]) >= set(before["artifacts"])
    assert set(found["work_pools"]) >= set(before["work_pools"])


def kept(deployment: dict[str, Any]) -> dict[str, Any]:
    """What a deploy does not change: it restarts the hourly schedules of prefect.yaml."""
    if "connector" in deployment["tags"]:
        return deployment
    schedules = [each | {"schedule": each["schedule"] | {"anchor_date": None}} for each in deployment["schedules"]]
    return deployment | {"schedules": schedules}


def events_are_as_before(found: dict[str, Any]) -> None:
    """The parts of events that triggers match and messages quote are all there still; new ones may have come."""
    before = EXPECTED["prefect"]["events"]
    assert {"attachment-alerts.run.done", "attachment-alerts.suppression.expired"} <= found.keys()
    for name in found.keys() & before.keys():
        for part, words in before[name].items():
            assert set(words) <= set(found[name][part]), name


def watermark() -> datetime:
    """The end of the demo account's coverage."""
    health = [json.loads(row) for row in site.expected_relations()["connector_health"]["rows"]]
    return next(datetime.fromisoformat(row["watermark"]) for row in health if row["connector"] == "contoso")
