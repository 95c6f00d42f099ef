"""Who we are: a token for the application itself (OAuth 2.0 client credentials), by secret or by certificate."""

import base64
import binascii
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx
import msgspec

from tasks.entra.certificate import ASSERTION_TYPE
from tasks.entra.connector import EntraConnector

RENEW_BEFORE = 120  # seconds before `expires_in`
USUAL_LIFE = 3599  # seconds, where the answer does not say


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


class AppToken(httpx.Auth):
    """One token for all threads, used until shortly before its end.

    Where no token is issued, the call's response is the answer of the token endpoint: its address tells.
    """

    requires_response_body = True

    def __init__(self, connector: EntraConnector, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = connector.login_url + connector.token_path
        self._client_id = connector.client_id
        self._scope, self._audience = connector.scope, connector.audience
        self._secret = connector.client_secret
        self._certificate = connector.certificate()
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        with self._lock:  # the others wait for the one token that is being fetched
            if self._token is None or self._clock() >= self._renew_at:
                asked_at = self._clock()
                answer = yield self._token_request(request)
                if not self._keep(answer, asked_at):
                    return
            token = self._token
        request.headers["Authorization"] = f"Bearer {token}"
        yield request

    def forget(self, refused: httpx.Request) -> None:
        """Drop the token that this request carried, unless another thread has renewed it meanwhile."""
        with self._lock:
            if refused.headers.get("Authorization") == f"Bearer {self._token}":
                self._token = None

    def roles(self) -> frozenset[str] | None:
        """The permissions that the token in hand says it has; None without a token that can be read."""
        with self._lock:
            claims = _claims(self._token or "")
        told = claims.get("roles", [])
        return frozenset(map(str, told)) if claims and isinstance(told, list) else None

    def _token_request(self, request: httpx.Request) -> httpx.Request:
        form = {"client_id": self._client_id, "scope": self._scope, "grant_type": "client_credentials"}
        if self._certificate:
            form |= {
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self._certificate.assertion(self._client_id, self._audience),
            }
        else:
            form["client_secret"] = self._secret.get_secret_value()
        return httpx.Request("POST", self._url, data=form, extensions=request.extensions)

    def _keep(self, answer: httpx.Response, asked_at: float) -> bool:
        answer.read()
        try:
            issued = msgspec.json.decode(answer.content, type=_Token) if answer.is_success else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if issued is None or not issued.access_token:
            return False
        self._token = issued.access_token
        life = USUAL_LIFE if issued.expires_in is None else issued.expires_in
        self._renew_at = asked_at + life - RENEW_BEFORE
        return True


def _claims(token: str) -> dict[str, Any]:
    """What the token says of itself, unverified: Graph judges it, we only explain; empty where it cannot be read."""
    payload = [*token.split("."), "", ""][1]
    try:
        told = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return {}
    return told if isinstance(told, dict) else {}
