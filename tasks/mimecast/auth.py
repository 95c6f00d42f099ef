"""Who we are, request by request: an HMAC signature (API 1.0) or a bearer token (API 2.0)."""

import base64
import hmac
import threading
import time
import uuid
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import msgspec

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
RENEW_BEFORE = 60  # seconds before `expires_in`
USUAL_LIFE = 1799  # seconds, where the answer does not say


def sign(secret_key: str, date: str, request_id: str, path: str, application_key: str) -> str:
    """The API 1.0 signature, base64. `path` has no host and no query; method, body and application id do not count."""
    text = f"{date}:{request_id}:{path}:{application_key}"
    digest = hmac.digest(base64.b64decode(secret_key), text.encode(), "sha1")
    return base64.b64encode(digest).decode()


def mimecast_date(moment: datetime) -> str:
    """`Tue, 24 Nov 2015 12:50:11 UTC`, in English whatever the locale."""
    return format_datetime(moment.astimezone(UTC), usegmt=True).removesuffix("GMT") + "UTC"


class SignedRequests(httpx.Auth):
    """API 1.0: every request is signed by itself, a repeated one anew."""

    def __init__(self, application_id: str, application_key: str, access_key: str, secret_key: str) -> None:
        self._application_id = application_id
        self._application_key = application_key
        self._access_key = access_key
        self._secret_key = secret_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        date, request_id = mimecast_date(datetime.now(UTC)), str(uuid.uuid4())
        signature = sign(self._secret_key, date, request_id, request.url.path, self._application_key)
        request.headers["Authorization"] = f"MC {self._access_key}:{signature}"
        request.headers["x-mc-app-id"] = self._application_id
        request.headers["x-mc-date"] = date
        request.headers["x-mc-req-id"] = request_id
        yield request


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


class BearerToken(httpx.Auth):
    """API 2.0: one token for all threads, used until a minute before its end.

    Where no token is issued, the call's response is the answer of the token endpoint: its address tells.
    """

    requires_response_body = True

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = base_url + TOKEN_PATH
        self._client_id = client_id
        self._client_secret = client_secret
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

    def _token_request(self, request: httpx.Request) -> httpx.Request:
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "grant_type": "client_credentials",
        }
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
