"""What surrounds the site of the upgrade fixture: two Mimecast accounts, a directory and a webhook on fixed ports."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.entra import graph
from tests.entra.asking import device, group, managed, member, user
from tests.simulator import Account, Simulator, World, serve, v1_keys, v2_keys

SERVICE_PORT, GRAPH_PORT, WEBHOOK_PORT = 28917, 28918, 28919  # stored in the fixture's connectors and its webhook
SERVICE_URL, GRAPH_URL = f"http://127.0.0.1:{SERVICE_PORT}", f"http://127.0.0.1:{GRAPH_PORT}"
WEBHOOK_URL = f"http://127.0.0.1:{WEBHOOK_PORT}/hook"
CONTOSO_KEYS, FABRIKAM_KEYS = v2_keys(1), v1_keys(2)
CONTOSO = Account.numbered(1)
DIRECTORY_ID, GRAPH_CLIENT, GRAPH_SECRET = graph.DIRECTORY, graph.CLIENT, graph.SECRET


@dataclass
class Outside:
    """The services at work."""

    contoso: World
    simulator: Simulator
    messages: list[str] = field(default_factory=list)
    """what the webhook was sent"""

    def windows_asked(self) -> list[tuple[datetime, datetime]]:
        """From when to when records of the demo's account were asked for."""
        asked = [
            data
            for each in self.simulator.requests
            if each.account == CONTOSO.code and each.body
            for data in each.body.get("data", [])
            if "from" in data
        ]
        return [(datetime.fromisoformat(each["from"]), datetime.fromisoformat(each["to"])) for each in asked]


@contextmanager
def outside(anchor: datetime, *, ahead: timedelta = timedelta()) -> Iterator[Outside]:
    """Everything the site talks to, as it was when the fixture was made.

    `anchor`: the hour before which the demo's story happens. `ahead`: Mimecast lists what happened until this time
    after the present.
    """

    def now() -> datetime:
        return datetime.now(UTC) + ahead

    contoso = World.demo(anchor)
    contoso.clock = now
    fabrikam = World.of_records([record(anchor - timedelta(hours=hours), f"f{hours}") for hours in (2, 5, 9)], now)
    accounts = (replace(CONTOSO, world=contoso), Account.numbered(2, world=fabrikam))
    simulator = Simulator(contoso, accounts=accounts)
    with ExitStack() as stack:
        stack.enter_context(serve(simulator, SERVICE_PORT))
        stack.enter_context(graph.serve(_directory(), GRAPH_PORT))
        found = Outside(contoso, simulator)
        stack.enter_context(_webhook(found.messages))
        yield found


def _directory() -> graph.Graph:
    found = graph.Graph(users=[user(number) for number in range(1, 6)], groups=[group(1)], page_size=100)
    found.members = {found.groups[0]["id"]: [member(1), member(2)]}
    found.devices, found.managed_devices = [device(1)], [managed(1)]
    return found


@contextmanager
def _webhook(messages: list[str]) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", WEBHOOK_PORT), Handler) as listener:
        Thread(target=listener.serve_forever, daemon=True).start()
        yield
        listener.shutdown()


def record(when: datetime, name: str, result: str = "malicious") -> dict[str, Any]:
    """A record as Mimecast sends it, of a file of its own."""
    return {
        "senderAddress": "billing@supplier.example",
        "recipientAddress": "user1@contoso.example",
        "fileName": f"{name}.doc",
        "fileType": "application/msword",
        "result": result,
        "actionTriggered": "hold, none",
        "date": f"{when:%Y-%m-%dT%H:%M:%S}+0000",
        "details": f"{result.title():<50}\r\nTime taken: 0 hrs, 0 min, 3 sec",
        "route": "inbound",
        "messageId": f"<{name}@supplier.example>",
        "subject": f"Document {name}",
        "fileHash": name.encode().hex().rjust(64, "0"),
        "definition": "Default Inbound Attachment Protect Definition",
    }
