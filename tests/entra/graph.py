"""A small Microsoft Graph with its sign-in on loopback: pages, throttles and refuses like the real one."""

import base64
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DIRECTORY = "11111111-aaaa-bbbb-cccc-000000000001"
CLIENT = "22222222-aaaa-bbbb-cccc-000000000002"
SECRET = "hush~Q~secret-of-the-application"
PERMISSIONS = {
    "users": "User.Read.All",
    "groups": "GroupMember.Read.All",
    "devices": "Device.Read.All",
    "deviceManagement": "DeviceManagementManagedDevices.Read.All",
    "organization": "User.Read.All",
}
EXPANDED_MOST = 20  # related objects

Record = dict[str, Any]


@dataclass
class Graph:
    """What is in the directory, who may read it, and what goes wrong."""

    users: list[Record] = field(default_factory=list)
    groups: list[Record] = field(default_factory=list)
    members: dict[str, list[Record]] = field(default_factory=dict)
    devices: list[Record] = field(default_factory=list)
    managed_devices: list[Record] = field(default_factory=list)
    roles: set[str] = field(default_factory=lambda: set(PERMISSIONS.values()))
    page_size: int = 2
    public_key: rsa.RSAPublicKey | None = None
    thumbprint: str = ""
    sign_in_error: int | None = None  # AADSTS code
    longest_select: int = 100  # properties
    expanded_records: int | None = None  # of a listing with $expand; the others are left out
    hidden_groups: set[str] = field(default_factory=set)
    next_link: Callable[[str], str] = str  # what becomes of the link to the next page
    trouble: Callable[[str, int], Response | None] = lambda path, nth: None  # by path and number of request
    date: str | None = None

    url: str = ""
    asked: list[str] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    issued: int = 0

    def paths(self, part: str = "") -> list[str]:
        return [path for path in self.asked if part in path]

    def reset(self) -> None:
        """Forget everything but the address."""
        url = self.url
        vars(self).clear()
        vars(self).update(vars(Graph(url=url)))

    # --- sign-in

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        code = self.sign_in_error or self._wrong(request.path_params["directory"], form)
        if code:
            return _json(
                {
                    "error": "invalid_client",
                    "error_description": f"AADSTS{code}: you sent {form.get('client_secret')}",
                    "error_codes": [code],
                    "correlation_id": "c0ffee",
                },
                401,
            )
        claims = _text(json.dumps({"roles": sorted(self.roles), "tid": DIRECTORY}).encode())
        token = f"e30.{claims}.{secrets.token_urlsafe(8)}"
        self.tokens.add(token)
        self.issued += 1
        return _json({"token_type": "Bearer", "expires_in": 3599, "access_token": token})

    def _wrong(self, directory: str, form: dict[str, Any]) -> int | None:
        if directory != DIRECTORY:
            return 90002
        if form.get("client_id") != CLIENT:
            return 700016
        if form.get("scope") != "https://graph.microsoft.com/.default" or form["grant_type"] != "client_credentials":
            return 70011
        if "client_assertion" in form:
            return None if self._signed(str(form["client_assertion"])) else 700027
        return None if form.get("client_secret") == SECRET else 7000215

    def _signed(self, assertion: str) -> bool:
        signed, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(_bytes(part)) for part in signed.split("."))
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        assert self.public_key
        try:
            self.public_key.verify(_bytes(signature), signed.encode(), pss, hashes.SHA256())
        except InvalidSignature:
            return False
        self.assertions.append(header | claims)
        self.signatures.append(signature)
        audience = f"https://login.microsoftonline.com/{DIRECTORY}/oauth2/v2.0/token"
        return bool(
            (header["alg"], header["typ"], header["x5t#S256"].rstrip("=")) == ("PS256", "JWT", self.thumbprint)
            and claims["aud"] == audience
            and claims["iss"] == claims["sub"] == CLIENT
            and claims["iat"] <= time.time() + 1 < claims["exp"] <= time.time() + 601
        )

    # --- Graph

    async def call(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/v1.0") + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append(path)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _error(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        if request.url.path.endswith("/$batch"):
            return self.trouble("/$batch", len(self.paths("$batch"))) or self._batch(await request.json())
        return self._get(request.url.path.removeprefix("/v1.0"), dict(request.query_params))

    def _batch(self, body: Record) -> Response:
        answers = []
        assert len(body["requests"]) <= 20
        for part in body["requests"]:
            path, _, query = part["url"].partition("?")
            self.asked.append(f"batch:{part['url']}")
            answer = self._get(path, dict(pair.split("=", 1) for pair in query.split("&")))
            answers.append(
                {
                    "id": part["id"],
                    "status": answer.status_code,
                    "headers": {"Content-Type": "application/json", **_retry_after(answer)},
                    "body": json.loads(bytes(answer.body)),
                }
            )
        return _json({"responses": answers[::-1]})  # in any order

    def _get(self, path: str, query: dict[str, str]) -> Response:
        if trouble := self.trouble(path, len(self.paths(path))):
            return trouble
        top = path.split("/")[1]
        if PERMISSIONS.get(top) not in self.roles:
            return _error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        if len(query.get("$select", "").split(",")) > self.longest_select:
            return _error(400, "BadRequest", "The request is too long.")
        if path.endswith("/transitiveMembers"):
            return self._members(path, query)
        if path.endswith(("/registeredUsers", "/registeredOwners")):
            _, _, device_id, relation = path.split("/")
            device = next((each for each in self.devices if each["id"] == device_id), None)
            return self._page(path, query, device.get(relation, [])) if device else _gone()
        listed = {
            "/users": self.users,
            "/groups": self.groups,
            "/devices": self.devices,
            "/deviceManagement/managedDevices": self.managed_devices,
            "/organization": [{"id": DIRECTORY, "displayName": "Contoso \x1b[31m"}],
        }
        return self._page(path, query, listed[path]) if path in listed else _gone()

    def _members(self, path: str, query: dict[str, str]) -> Response:
        group_id = path.split("/")[2]
        if group_id in self.hidden_groups:
            return _error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        return self._page(path, query, self.members[group_id]) if group_id in self.members else _gone()

    def _page(self, path: str, query: dict[str, str], records: list[Record]) -> Response:
        start, size = int(query.get("$skiptoken", 0)), min(int(query.get("$top", 100)), self.page_size)
        names = query["$select"].split(",")
        relation = query.get("$expand", "").partition("(")[0]
        assert "," not in relation  # one relation at most
        records = records[: self.expanded_records] if relation else records
        shown = [{name: record[name] for name in names if name in record} for record in records[start : start + size]]
        for record, whole in zip(shown, records[start : start + size], strict=True):
            if relation:
                record[relation] = whole.get(relation, [])[:EXPANDED_MOST]
        body: Record = {"@odata.context": f"{self.url}/v1.0/$metadata", "value": shown}
        if start + size < len(records):
            kept = "&".join(f"{name}={value}" for name, value in (query | {"$skiptoken": str(start + size)}).items())
            body["@odata.nextLink"] = self.next_link(f"{self.url}/v1.0{path}?{kept}".replace(" ", "%20"))
        return _json(body)


def throttled(seconds: int | None = 1) -> Response:
    answer = _error(429, "TooManyRequests", "Too many requests.")
    if seconds is not None:
        answer.headers["Retry-After"] = str(seconds)
    return answer


def error(status: int, code: str, message: str) -> Response:
    return _error(status, code, message)


@contextmanager
def serve(graph: Graph, port: int = 0) -> Iterator[Graph]:
    app = Starlette(
        routes=[
            Route("/{directory}/oauth2/v2.0/token", graph.token, methods=["POST"]),
            Route("/v1.0/{path:path}", graph.call, methods=["GET", "POST"]),
        ]
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        date_header=graph.date is None,
        headers=[("Date", graph.date)] if graph.date else [],
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # Named as TCP, or asyncio leaves Nagle on and every answer waits 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        graph.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield graph
        finally:
            server.should_exit = True
            thread.join()


def _json(body: Record, status: int = 200) -> Response:
    return JSONResponse(body, status)


def _error(status: int, code: str, message: str) -> Response:
    return _json({"error": {"code": code, "message": message, "innerError": {"request-id": "r-1"}}}, status)


def _gone() -> Response:
    return _error(404, "Request_ResourceNotFound", "Resource does not exist.")


def _retry_after(answer: Response) -> dict[str, str]:
    return {"Retry-After": answer.headers["retry-after"]} if "retry-after" in answer.headers else {}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
