"""Events of groups and connectors reach a webhook, by real server, worker, triggers and blocks."""

import json
import subprocess
import sys
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote_plus
from uuid import UUID

import pytest
from prefect.blocks import notifications
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import (
    CustomWebhookNotificationBlock,
    DiscordWebhook,
    MattermostWebhook,
    MicrosoftTeamsWebhook,
    OpsgenieWebhook,
    PagerDutyWebHook,
    SendgridEmail,
    SlackWebhook,
    TwilioSMS,
)
from pydantic import SecretStr

from flows.deploy import prefect_yaml, triggers
from tasks.notifications.events import PREFIX
from tasks.saved_connectors import load_connector
from tasks.settings import CHECKOUT
from tests.flows.site import change, connector, save, scan
from tests.mimecast.network import Authority, inspecting_proxy
from tests.server.machine import Machine
from tests.simulator import Simulator, World, serve

pytestmark = pytest.mark.server

MINUTE = timedelta(minutes=1)
TEXT = {"text": "{{subject}}\n{{body}}"}  # the form of Slack
ANSWERS = {"api.opsgenie.com": b'{"requestId": "x"}'}  # Slack's is "ok"; the others may answer anything


CALLS = """
import json, sys
from flows import mimecast
for line in sys.stdin:
    kind, *given = json.loads(line)
    flow = {"poll": mimecast.mimecast, "backfill": mimecast.mimecast_backfill}[kind]
    print(flow(*given, return_state=True).name, flush=True)
"""


@contextmanager
def listener(receive: Callable[[str, str], None]) -> Iterator[str]:
    """An address (host:port) that accepts every POST; host and body of each request are passed on."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            host = self.headers["Host"].partition(":")[0]
            receive(host, body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ANSWERS.get(host, b"ok"))

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A webhook like that of Slack, and the texts it received."""
    texts: list[str] = []
    with listener(lambda _, body: texts.append(json.loads(body)["text"])) as address:
        yield f"http://{address}/services/T/B/x", texts


@contextmanager
def flows_at_hand(machine: Machine) -> Iterator[Callable[..., str]]:
    """Runs flows in another process, one after the other, which loads Prefect only once."""
    call = [sys.executable, "-c", CALLS]
    with subprocess.Popen(
        call, cwd=CHECKOUT, env=machine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        asked, answers = process.stdin, process.stdout

        def run(*flow: str) -> str:
            """The name of its final state."""
            print(json.dumps(flow), file=asked, flush=True)
            return answers.readline().strip()

        yield run
        asked.close()


def test_each_change_is_notified_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        machine.boot()
        for trigger in triggers.read_switches(machine.client, prefect_yaml.declared_deployments()):
            machine.client.resume_automation(machine.automation(trigger).id)
        block = CustomWebhookNotificationBlock(name="x", url=url, json_data=TEXT)
        block.save("security")
        save("acme", connector(service, 2, connector_id=UUID(int=7), polling_minutes=5))

        def told(*titles: str) -> None:
            """Wait until exactly these messages were sent."""
            machine.wait_for(lambda: len(texts) >= len(titles))
            assert sorted(text.splitlines()[0] for text in texts) == sorted(titles)
            texts.clear()

        with flows_at_hand(machine) as run:
            service.simulator.faults.inject("fail-200")  # costs one slice, which is not the last
            assert [run("poll", "acme") for _ in range(2)] == ["Failed", "Completed"]
            told("Connection lost: acme", "Connection restored: acme")
            world.add([scan(now - 2 * MINUTE, n) for n in range(20)])  # a file to twenty people: one group
            for file in ("cd", "ef"):  # two messages of one run
                world.add([scan(now - 2 * MINUTE, file, fileHash=file * 32, actionTriggered="user release, none")])
            assert run("poll", "acme") == "Completed"
            new, released = "New alert group, priority high", "A dangerous attachment was released"
            told(new, new, new, released, released)

            start, end = (f"{now - timedelta(days=days):%Y-%m-%dT%H:%M}" for days in (10, 8))
            assert run("backfill", "acme", start, end) == "Completed"
            told("3 alert groups, 3 of them high priority")

            secret = load_connector("acme").client_secret
            change("acme", client_secret=SecretStr("x" * 40))
            assert [run("poll", "acme") for _ in range(2)] == ["Failed"] * 2
            told("Connection lost: acme")
            change("acme", client_secret=secret)
            machine.shorten("attachment-alerts, no poll in 30 minutes", 10)
            assert run("poll", "acme") == "Completed"
            told("Connection restored: acme", "No poll finished in time: acme")
        events = ("run.done", "word.unseen", "gap.found")
        assert [machine.resources_of_events(event) for event in events] == [{"acme"}] * len(events)


def blocks(local: str) -> dict[str, NotificationBlock]:
    """A block of each kind by its host, which is `local` if the kind has no fixed host."""
    port = int(local.partition(":")[2])
    custom_host, chat_host = "127.0.0.1", "localhost"
    teams = "prod-1.westeurope.logic.azure.com"
    return {
        custom_host: CustomWebhookNotificationBlock(name="x", url=f"http://{local}/", json_data=TEXT),
        chat_host: MattermostWebhook(hostname=chat_host, port=port, token=SecretStr("a" * 26)),
        "hooks.slack.com": SlackWebhook(url=SecretStr(f"https://hooks.slack.com/services/T1/B1/{'a' * 24}")),
        teams: MicrosoftTeamsWebhook(
            url=SecretStr(f"https://{teams}:443/workflows/a/triggers/manual/paths/invoke?api-version=1&sig=a")
        ),
        "events.pagerduty.com": PagerDutyWebHook(integration_key=SecretStr("a" * 32), api_key=SecretStr("a" * 32)),
        "api.twilio.com": TwilioSMS(
            account_sid="AC" + "a" * 32,
            auth_token=SecretStr("a" * 32),
            from_phone_number="+15005550006",
            to_phone_numbers=["+15005550001"],
        ),
        "api.opsgenie.com": OpsgenieWebhook(apikey=SecretStr("a" * 36)),
        "discord.com": DiscordWebhook(webhook_id=SecretStr("1" * 18), webhook_token=SecretStr("a" * 64)),
        "api.sendgrid.com": SendgridEmail(
            api_key=SecretStr("a" * 32), sender_email="alerts@example.com", to_emails=["on-call@example.com"]
        ),
    }


def kinds() -> set[type[NotificationBlock]]:
    """Every kind of notification block that the UI offers."""
    classes = [each for each in vars(notifications).values() if isinstance(each, type)]
    return {each for each in classes if issubclass(each, NotificationBlock) and ABC not in each.__bases__}


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # apprise tries it
def test_every_kind_of_notification_block_sends_from_a_worker(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy answers for all their hosts. No message mentions a group of people or contains a link."""
    received: dict[str, str] = {}
    authority = Authority(tmp_path, "Test authority")
    with listener(lambda host, body: received.update({host: unquote_plus(body)})) as local:
        senders = blocks(local)
        names = {f"{type(block).get_block_type_slug()}/security": block for block in senders.values()}
        with (
            inspecting_proxy(authority.server_context(*senders), local) as proxy,
            Machine(
                home,
                monkeypatch,
                ATTACHMENT_ALERTS_NOTIFY=",".join(names),
                REQUESTS_CA_BUNDLE=str(authority.pem),
                https_proxy=proxy,
                no_proxy="127.0.0.1,localhost",
            ) as machine,
        ):
            machine.boot()
            for block in senders.values():
                block.save("security")
            facts = {"error": "It said: <!channel> <http://evil.example|here> [here](http://evil.example) @here"}
            run = machine.wait_for_end(
                machine.start("notify/notify", event=f"{PREFIX}connector.lost", about="acme", facts=facts)
            )
    assert {type(block) for block in senders.values()} == kinds()
    assert run.state and run.state.is_completed(), run.state and run.state.message
    assert received.keys() == senders.keys()
    for text in received.values():
        assert "Connection lost: acme" in text
        for obeyed in ("<!", "<http", "](", "@here", "http://evil", "evil.example"):
            assert obeyed not in text
