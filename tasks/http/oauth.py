"""Access tokens (OAuth 2.0, client credentials): one for all threads, renewed shortly before its end."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping

import httpx
import msgspec

from tasks.http.lenient_json import decode

RENEW_BEFORE = 60  # seconds before `expires_in`
DEFAULT_LIFETIME = 1799  # seconds, if the answer has no usable number
LONGEST_LIFETIME = 30 * 86_400  # seconds
TOKEN_BYTES = 2**20  # of an answer with a token


class NoTokenIssued(Exception):
    """The token endpoint answered without a token; `response` has the reason."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"no token issued (HTTP {response.status_code})")
        self.response = response


class Token(msgspec.Struct):
    """The answer of a token endpoint."""

    access_token: str
    expires_in: int
    """seconds"""


def request_token(
    http: httpx.Client, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Token:
    """Raises NoTokenIssued, and httpx.RequestError if there is no answer."""
    limits = {"max_bytes": TOKEN_BYTES}
    response = http.send(http.build_request("POST", url, data=form, headers=headers, extensions=limits), auth=None)
    answer = decode(response.content) if response.is_success else None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(token, str) or not token:
        raise NoTokenIssued(response)
    return Token(token, _lifetime(answer.get("expires_in")))


def _lifetime(value: object) -> int:
    """Services send it as a number or as text; without a usable one the default is shorter than any real lifetime."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return DEFAULT_LIFETIME
    return int(seconds) if 0 < seconds <= LONGEST_LIFETIME else DEFAULT_LIFETIME


class AccessToken(httpx.Auth, ABC):
    """Sends requests with an access token. If none is issued, the request raises NoTokenIssued and is not sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token = ""

    @abstractmethod
    def valid_token(self) -> str:
        """The current token, cached or newly issued. Never called by two threads at once."""

    @abstractmethod
    def drop_token(self) -> None:
        """Make the next request fetch a new one."""

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        with self._lock:  # other threads wait for the token that is being requested
            self._token = self.valid_token()
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    def forget(self, refused: httpx.Request) -> None:
        """Drop the token that this request carried, unless another thread has already renewed it."""
        with self._lock:
            if refused.headers.get("Authorization") == f"Bearer {self._token}":
                self.drop_token()


class ClientCredentialsToken(AccessToken):
    """A token for a client id and its secret."""

    def __init__(
        self,
        http: httpx.Client,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._http, self._url = http, url
        self._form = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
        self._clock = clock
        self._renew_at = -1.0

    def valid_token(self) -> str:
        now = self._clock()
        if now < self._renew_at:
            return self._token
        token = request_token(self._http, self._url, self._form)
        self._renew_at = now + token.expires_in - RENEW_BEFORE
        return token.access_token

    def drop_token(self) -> None:
        self._renew_at = -1.0
