"""Access tokens (OAuth 2.0, client credentials): one for all threads, renewed shortly before its end."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping

import httpx
import msgspec

RENEW_BEFORE = 60  # seconds before `expires_in`
DEFAULT_LIFETIME = 1799  # seconds, if the answer does not have it


class NoTokenIssued(Exception):
    """The token endpoint answered without a token; `response` has the reason."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"no token issued (HTTP {response.status_code})")
        self.response = response


class Token(msgspec.Struct, omit_defaults=True):
    """The answer of a token endpoint."""

    access_token: str
    expires_in: float | None = None


def request_token(
    http: httpx.Client, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Token:
    """Raises NoTokenIssued, and httpx.RequestError if there is no answer."""
    response = http.send(http.build_request("POST", url, data=form, headers=headers), auth=None)
    try:
        token = msgspec.json.decode(response.content, type=Token, strict=False) if response.is_success else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        token = None
    if token is None or not token.access_token:
        raise NoTokenIssued(response)
    return token


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
        self._renew_at = now + (DEFAULT_LIFETIME if token.expires_in is None else token.expires_in) - RENEW_BEFORE
        return token.access_token

    def drop_token(self) -> None:
        self._renew_at = -1.0
