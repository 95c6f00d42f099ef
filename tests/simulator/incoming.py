"""A request as the service sees it, read in the tolerant or the strict way of its API generation."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

LOGS_PATH = "/api/ttp/attachment/get-logs"
ACCOUNT_PATH = "/api/account/get-account"
TOKEN_PATH = "/oauth/token"
DISCOVERY_PATH = "/api/login/discover-authentication"
PATHS = (LOGS_PATH, ACCOUNT_PATH, TOKEN_PATH, DISCOVERY_PATH)


@dataclass(frozen=True)
class Incoming:
    """One request; `body` is None unless it is an object that the service understands."""

    path: str
    headers: Mapping[str, str]  # names in lower case
    raw: bytes
    body: dict[str, Any] | None
    base_url: str

    @property
    def generation(self) -> int:
        """1 for signed requests and for discovery, which only API 1.0 has; else 2."""
        first = self.headers.get("authorization", "").startswith("MC ") or "x-mc-app-id" in self.headers
        return 1 if first or self.path == DISCOVERY_PATH else 2

    @property
    def has_page_token(self) -> bool:
        try:
            return bool((self.body or {})["meta"]["pagination"]["pageToken"])
        except (KeyError, TypeError):
            return False

    @property
    def body_to_record(self) -> Any:
        """The body for the list of requests: the form of /oauth/token holds a secret."""
        return None if self.path == TOKEN_PATH else self.body


@dataclass(frozen=True)
class ReceivedRequest:
    """A request and how it was answered, without secrets."""

    path: str
    body: Any
    status: int
    generation: int
    account: str | None  # code of the account whose keys were accepted


def read_body(raw: bytes, *, python_too: bool) -> dict[str, Any] | None:
    """The JSON object in a body; an empty body means {}. API 1.0 also accepts Python's notation."""
    if not raw.strip():
        return {}
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = _python_literal(raw) if python_too else None
    return body if isinstance(body, dict) else None


def _python_literal(raw: bytes) -> Any:
    try:
        return ast.literal_eval(raw.decode())
    except (ValueError, SyntaxError):
        return None
