"""One client for both API generations: every page of a stretch of time, or an exception.

The only layer that repeats requests. It may be used by several threads at once.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tasks.errors import PageTokenRefused, PermissionMissing, ServiceError
from tasks.http.check import Account
from tasks.http.client import offset_of, open_http, transport_failure
from tasks.http.failure import Failure, Retry
from tasks.http.rate_limit import gate_of
from tasks.http.retry import SHORTEST, STANDARD, Patience, Tries, pause, wait_asked
from tasks.mimecast.auth import TOKEN_PATH, BearerToken, SignedRequests
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.failure import decoded, token_failure
from tasks.mimecast.paging import every_page
from tasks.mimecast.response import Page, read_data, read_page

log = logging.getLogger("attachment_alerts.mimecast")

GET_LOGS = "/api/ttp/attachment/get-logs"
GET_ACCOUNT = "/api/account/get-account"

T = TypeVar("T")
Reader = Callable[[httpx.Response, datetime], T | Failure]


@dataclass(frozen=True)
class Quota:
    """What the last answer said about the account's request quota."""

    limit: int
    remaining: int


class MimecastClient:
    """Reads one account. Close it, or use it in a `with`."""

    def __init__(
        self,
        connector: MimecastConnector,
        *,
        stop: threading.Event | None = None,
        patience: Patience = STANDARD,
    ) -> None:
        self._connector = connector
        self._stop = stop or threading.Event()
        self._patience = patience
        self._auth = _auth_of(connector)
        self._http = open_http(connector.url, auth=self._auth)
        self._gate = gate_of(connector.realm() + connector.key_identity())
        self._counting = threading.Lock()
        self.refusals = 0  # answers 429 so far
        self.quota: Quota | None = None
        self.clock_correction = timedelta()  # what is added to our clock to tell the service's time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def cut(self) -> None:
        """Let nobody wait for an answer any more; may be called from another thread, after `stop` was set."""
        self._http.cut()

    def now(self) -> datetime:
        """The service's time, as far as our clock was corrected."""
        return datetime.now(UTC) + self.clock_correction

    def pages(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Every page of [start, end), in order; a row exactly at `end` may be among them.

        Raises PagingBroken for a listing without an honest end, PageTokenRefused where a token is not accepted
        any more (the stretch must be begun again), Stopped, and what any request raises.
        """
        return every_page(lambda token: self._page(start, end, token))

    def may_read_logs(self) -> None:
        """Ask for the smallest page there is; raises what a poll would raise."""
        now = datetime.now(UTC)
        self._page(now, now, None, size=1)

    def account(self) -> Account:
        """Which account the keys belong to; fields are None where they may not ask."""
        try:
            data = self._ask(GET_ACCOUNT, {"data": []}, lambda answer, _: read_data(answer))
        except PermissionMissing:
            return Account()
        return _account(data[0]) if data and isinstance(data[0], dict) else Account()

    def clock_offset(self) -> timedelta:
        """Server's clock minus ours, within a second; zero where the server does not tell the time."""
        offset = self.clock_difference()
        if offset is None:
            log.warning("The server does not tell the time; this machine's clock is taken as right.")
        return offset or timedelta(0)

    def clock_difference(self) -> timedelta | None:
        """As `clock_offset`, but None where the server does not tell the time."""

        def read(answer: httpx.Response, asked_at: datetime) -> timedelta | None:
            return offset_of(answer, asked_at, datetime.now(UTC))

        return self._send(lambda: self._http.build_request("GET", "/"), read, None)

    def _page(self, start: datetime, end: datetime, token: str | None, size: int | None = None) -> Page:
        pagination: dict[str, Any] = {"pageSize": size or self._connector.page_size}
        if token:
            pagination["pageToken"] = token  # beside the same data: dates never change under a token
        asked = {
            "from": _moment(start),
            "to": _moment(end),
            "oldestFirst": True,
            "route": "all",
            "result": "all",
        }
        try:
            return self._ask(GET_LOGS, {"meta": {"pagination": pagination}, "data": [asked]}, read_page)
        except ServiceError as refused:
            # A plain refusal of a request that was good a page ago and has only got a token since.
            if token and type(refused) is ServiceError:
                raise PageTokenRefused(
                    f"Mimecast refused a page token in the middle of a listing. {refused}"
                ) from refused
            raise

    def _ask(self, path: str, body: object, read: Reader[T]) -> T:
        return self._send(lambda: self._http.build_request("POST", path, json=body), read, self._auth)

    def _send(self, build: Callable[[], httpx.Request], read: Reader[T], auth: httpx.Auth | None) -> T:
        """Send until there is a result, or patience ends: then the last failure's error is raised."""
        tries = Tries(self._patience)
        while True:
            sent_at = self._gate.enter(self._stop)
            result = self._once(build(), read, auth)
            if not isinstance(result, Failure):
                self._gate.accepted()
                return result
            pause(0, self._stop)  # a conversation that was cut by ourselves has not failed
            wait = tries.next_wait(result)
            if result.retry is Retry.THROTTLED:
                self._refused(sent_at, wait or result.wait)
            if wait is None:
                raise self._connector.told(result.error, "them")
            log.info("Mimecast: %s; trying again in %.1f s", result.retry, wait)
            if result.retry is not Retry.THROTTLED:  # that wait is the gate's
                pause(wait, self._stop)

    def _once(self, request: httpx.Request, read: Reader[T], auth: httpx.Auth | None) -> T | Failure:
        asked_at = self.now()
        try:
            response = self._http.send(request, auth=auth)
        except httpx.RequestError as error:
            return transport_failure(error, self._connector.url)
        self.quota = quota_of(response) or self.quota
        if response.url.path == TOKEN_PATH:  # no token was issued, so the call itself was never sent
            result: T | Failure = token_failure(response, decoded(response))
        else:
            result = self._doubted(read(response, asked_at), response)
        if not isinstance(result, Failure):
            return result
        if result.retry is Retry.TOKEN and isinstance(self._auth, BearerToken):
            self._auth.forget(response.request)
        return replace(result, wait=wait_asked(response))

    def _doubted(self, result: T | Failure, response: httpx.Response) -> T | Failure:
        """A 401 whose code says nothing of the token: the keys were good when it was issued, so a new one decides."""
        bearer = response.status_code == httpx.codes.UNAUTHORIZED and isinstance(self._auth, BearerToken)
        if bearer and isinstance(result, Failure) and result.retry is Retry.NEVER:
            return replace(result, retry=Retry.TOKEN)
        return result

    def _refused(self, sent_at: float, wait: float | None) -> None:
        self._gate.refused(sent_at, wait or SHORTEST)
        with self._counting:
            self.refusals += 1


def quota_of(response: httpx.Response) -> Quota | None:
    """The quota in the answer's headers, whichever of the two spellings they have."""
    for name in ("x-ratelimit", "x-rate-limit"):
        limit, remaining = (response.headers.get(f"{name}-{what}", "") for what in ("limit", "remaining"))
        if limit.isdecimal() and remaining.isdecimal():
            return Quota(int(limit), int(remaining))
    return None


def _auth_of(connector: MimecastConnector) -> httpx.Auth:
    if connector.api == "2.0":
        return BearerToken(connector.url, connector.client_id, connector.client_secret.get_secret_value())
    return SignedRequests(
        connector.application_id,
        connector.application_key.get_secret_value(),
        connector.access_key.get_secret_value(),
        connector.secret_key.get_secret_value(),
    )


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _account(told: dict[str, Any]) -> Account:
    packages = told.get("packages")
    return Account(
        code=_text(told.get("accountCode")),
        name=_text(told.get("accountName")),
        region=_text(told.get("region")),
        packages=tuple(map(str, packages)) if isinstance(packages, list) else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
