"""What happens to groups and connectors reaches a webhook: real server, worker, triggers of prefect.yaml, blocks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from flows import deploying
from tasks.connectors import load_connector
from tasks.mimecast.simulator import Simulator, World, serve
from tasks.settings import CHECKOUT
from tests.flows.site import change, connector, save, scan
from tests.server import running

pytestmark = pytest.mark.server

MINUTE = timedelta(minutes=1)


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


def shorten(name: str, seconds: int) -> None:
    """Let a trigger wait for so long only."""
    with get_client(sync_client=True) as client:
        [automation] = client.read_automations_by_name(name)
        automation.trigger.within = timedelta(seconds=seconds)
        client.update_automation(
            automation.id, AutomationCore(**automation.model_dump(exclude={"id", "owner_resource"}))
        )


def run(*command: str, ends: int) -> None:
    """The command in a process of its own, as a person calls it."""
    call = [sys.executable, "-m", "flows", *command]
    done = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stdout + done.stderr


def test_people_are_told_once_of_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    environment = running.own_environment(tmp_path) | {"ATTACHMENT_ALERTS_NOTIFY": "custom-webhook/security"}
    fields: dict[str, Any] = {"connector_id": UUID(int=7), "polling_minutes": 5}
    world = World.of_records([scan(now - timedelta(days=9), n, fileHash=f"{n:064x}") for n in range(1, 4)])
    world.add([scan(now - timedelta(hours=2), "c", "clean")])
    with running.server(environment) as server, webhook() as (url, texts), serve(Simulator(world)) as running_service:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
            block = CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{subject}}\n{{body}}"})
            block.save("security", _sync=True)
            save("acme", connector(running_service, 2, **fields))
            deploying.deploy()
            worker = ["-m", "prefect", "worker", "start", "--pool", "attachment-alerts"]
            with running.started("worker", worker, environment) as hands:

                def told(*titles: str) -> None:
                    """Wait until exactly this was told."""
                    running.wait_for(lambda: len(texts) >= len(titles), server, hands)
                    assert sorted(text.splitlines()[0] for text in texts) == sorted(titles)
                    texts.clear()

                run("poll", "acme", ends=0)
                world.add([scan(now - 2 * MINUTE, n) for n in range(20)])  # a file to twenty people: one group
                released = {"fileHash": "cd" * 32, "actionTriggered": "user release, none"}
                world.add([scan(now - 2 * MINUTE, "r", **released)])
                run("poll", "acme", ends=0)
                new = "New group of alerts, priority high"
                told(new, new, "A dangerous attachment was released")

                start, end = (f"{now - timedelta(days=days):%Y-%m-%dT%H:%M}" for days in (10, 8))
                run("backfill", "acme", "--from", start, "--to", end, ends=0)
                told("3 groups of alerts, 3 of priority high")

                secret = load_connector("acme").client_secret
                change("acme", client_secret=SecretStr("x" * 40))
                for _ in range(2):
                    run("poll", "acme", ends=1)
                told("No connection: acme")
                change("acme", client_secret=secret)
                shorten("attachment-alerts, no poll in 30 minutes", 10)
                run("poll", "acme", ends=0)
                told("Connection is back: acme", "No poll has ended in time: acme")
