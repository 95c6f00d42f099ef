"""A minimal client of the simulated API: tests of the simulator must not depend on the product's client."""

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx

from tests.simulator import (
    V1_KEYS,
    V2_KEYS,
    Account,
    Faults,
    Running,
    Simulator,
    Switches,
    World,
    serve,
)
from tests.simulator.credentials import signature

LOGS = "/api/ttp/attachment/get-logs"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the system's authorities takes 20 ms
NOON = datetime(2024, 11, 17, 12, tzinfo=UTC)


def date(hour: int, minute: int = 0, second: int = 0) -> str:
    return f"2024-11-17T{hour:02}:{minute:02}:{second:02}+0000"


def record(when: str = date(11), **fields: Any) -> dict[str, Any]:
    """A record like those in the vendor's samples."""
    return {
        "senderAddress": "karl@empire.example",
        "recipientAddress": "m.love@contoso.example",
        "fileName": "Titus v0.3.pptx",
        "fileType": "application/pdf",
        "result": "safe",
        "actionTriggered": "none, none",
        "date": when,
        "details": f"{'Safe':<50}\r\nTime taken: 0 hrs, 0 min, 3 sec",
        "route": "inbound",
        "messageId": "<1@empire.example>",
        "subject": "Re",
        "fileHash": "ab" * 32,
        "definition": "Default Inbound Attachment Protect Definition",
    } | fields


class ApiClient:
    """Sends requests in the way of one API generation."""

    def __init__(self, running: Running, generation: int, keys: Mapping[str, str] | None = None) -> None:
        self.running, self.generation = running, generation
        self.keys = dict(keys or (V1_KEYS if generation == 1 else V2_KEYS))
        self.http = httpx.Client(base_url=running.url, trust_env=False, verify=PLAIN)
        self.bearer = ""

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.http.post(path, content=content, headers=self.signed(path) | headers)

    def signed(self, path: str, when: datetime | None = None) -> dict[str, str]:
        if self.generation == 2:
            self.bearer = self.bearer or self.token().json()["access_token"]
            return {"authorization": f"Bearer {self.bearer}"}
        keys, request_id = self.keys, str(uuid.uuid4())
        day = format_datetime(when or datetime.now(UTC), usegmt=True).replace("GMT", "UTC")
        sign = signature(keys["secret_key"], day, request_id, path, keys["application_key"])
        return {
            "authorization": f"MC {keys['access_key']}:{sign}",
            "x-mc-app-id": keys["application_id"],
            "x-mc-date": day,
            "x-mc-req-id": request_id,
        }

    def token(self) -> httpx.Response:
        return self.http.post("/oauth/token", data={"grant_type": "client_credentials", **self.keys})

    def logs(self, page_token: str = "", size: int = 100, **asked: Any) -> httpx.Response:
        asked = {"from": date(0), "to": date(23), "oldestFirst": True} | asked
        asked = {key: value for key, value in asked.items() if value is not None}
        pagination = {"pageSize": size} | ({"pageToken": page_token} if page_token else {})
        return self.post(LOGS, {"meta": {"pagination": pagination}, "data": [asked]})

    def pages(self, size: int = 100, **asked: Any) -> Iterator[dict[str, Any]]:
        page_token = ""
        while True:
            page = self.logs(page_token, size, **asked).json()
            yield page
            page_token = page["meta"]["pagination"].get("next", "")
            if not page_token:
                return


def rows(page: Any) -> list[Any]:
    page = page.json() if isinstance(page, httpx.Response) else page
    return [row for part in page["data"] for row in part["attachmentLogs"]]


def dates(page: Any) -> list[str]:
    return [row["date"] for row in rows(page)]


@contextmanager
def simulated(
    generation: int = 2,
    world: World | None = None,
    *,
    switches: Switches | None = None,
    faults: Faults | None = None,
    account: Account | None = None,
) -> Iterator[ApiClient]:
    """A client of a running simulator; without `world`, it has ten records, one per hour."""
    world = world or World.of_records([record(date(hour)) for hour in range(1, 11)], clock=lambda: NOON)
    accounts = (account or Account.numbered(1), Account.numbered(2))
    with serve(Simulator(world, switches, faults, accounts)) as running:
        client = ApiClient(running, generation)
        with client.http:
            yield client


def failure(answer: httpx.Response) -> tuple[int, str]:
    """HTTP status and code of a refusal of either shape."""
    first = answer.json()["fail"][0]
    return answer.status_code, first["errors"][0]["code"] if "errors" in first else first["code"]
