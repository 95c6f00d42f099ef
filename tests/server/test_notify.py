"""What happens to groups and connectors reaches a webhook: real server, worker, triggers of prefect.yaml, blocks."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from pydantic import SecretStr

from flows.deploy import prefect_yaml, triggers
from tasks.mimecast.simulator import Simulator, World, serve
from tasks.saved_connectors import load_connector
from tasks.settings import CHECKOUT
from tests.flows.site import change, connector, save, scan
from tests.server.machine import Machine

pytestmark = pytest.mark.server

MINUTE = timedelta(minutes=1)


CALLS = """
import json, sys
from flows import mimecast
for line in sys.stdin:
    kind, *given = json.loads(line)
    print(getattr(mimecast, kind)(*given, return_state=True).name, flush=True)
"""


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """An address that understands what Slack does, and the texts it was sent."""
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}/services/T/B/x", texts
        listener.shutdown()


@contextmanager
def flows_at_hand(machine: Machine) -> Iterator[Callable[..., str]]:
    """Flows called one after the other in one process beside this one, which loads all of Prefect only once."""
    call = [sys.executable, "-c", CALLS]
    with subprocess.Popen(
        call, cwd=CHECKOUT, env=machine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        asked, answers = process.stdin, process.stdout

        def run(*flow: str) -> str:
            """The name of the state in which it ended."""
            print(json.dumps(flow), file=asked, flush=True)
            return answers.readline().strip()

        yield run
        asked.close()


def test_people_are_told_once_of_each_change(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    world = World.of_records([scan(now - timedelta(days=9), n, fileHash=f"{n:064x}") for n in range(1, 4)])
    world.add(
        [
            scan(now - timedelta(hours=2), "c", "clean"),
            scan(now - timedelta(hours=2), "d", "brand new", fileHash="99" * 32),
        ]
    )
    with (
        webhook() as (url, texts),
        serve(Simulator(world)) as service,
        Machine(
            home, monkeypatch, ATTACHMENT_ALERTS_NOTIFY="custom-webhook/security", ATTACHMENT_ALERTS_SLICE_HOURS="6"
        ) as machine,
    ):
        machine.boots()
        for trigger in triggers.switches(machine.client, prefect_yaml.declared()):
            machine.client.resume_automation(machine.automation(trigger).id)
        block = CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{subject}}\n{{body}}"})
        block.save("security", _sync=True)
        save("acme", connector(service, 2, connector_id=UUID(int=7), polling_minutes=5))

        def told(*titles: str) -> None:
            """Wait until exactly this was told."""
            machine.wait_for(lambda: len(texts) >= len(titles))
            assert sorted(text.splitlines()[0] for text in texts) == sorted(titles)
            texts.clear()

        with flows_at_hand(machine) as run:
            service.simulator.faults.inject("fail-200")  # costs one slice, which is not the last
            assert [run("poll", "acme") for _ in range(2)] == ["Failed", "Completed"]
            told("No connection: acme", "Connection is back: acme")
            world.add([scan(now - 2 * MINUTE, n) for n in range(20)])  # a file to twenty people: one group
            for file in ("cd", "ef"):  # two messages of one run
                world.add([scan(now - 2 * MINUTE, file, fileHash=file * 32, actionTriggered="user release, none")])
            assert run("poll", "acme") == "Completed"
            new, released = "New group of alerts, priority high", "A dangerous attachment was released"
            told(new, new, new, released, released)

            start, end = (f"{now - timedelta(days=days):%Y-%m-%dT%H:%M}" for days in (10, 8))
            assert run("backfill", "acme", start, end) == "Completed"
            told("3 groups of alerts, 3 of priority high")

            secret = load_connector("acme").client_secret
            change("acme", client_secret=SecretStr("x" * 40))
            assert [run("poll", "acme") for _ in range(2)] == ["Failed"] * 2
            told("No connection: acme")
            change("acme", client_secret=secret)
            machine.shorten("attachment-alerts, no poll in 30 minutes", 10)
            assert run("poll", "acme") == "Completed"
            told("Connection is back: acme", "No poll has ended in time: acme")
        events = ("run.done", "word.unseen", "gap.found")
        assert [machine.told(event) for event in events] == [{"acme"}] * len(events)
