"""One client for both API generations: every page of a stretch of time, or an exception.

The only layer that repeats requests. It may be used by several threads at once.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tasks.connector import Account
from tasks.errors import PageTokenRefused, PagingBroken, PermissionMissing, ServiceError
from tasks.mimecast.answer import Page, read_data, read_page
from tasks.mimecast.auth import TOKEN_PATH, BearerToken, SignedRequests
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.failure import Failure, Retry, decoded, token_failure
from tasks.mimecast.gate import STANDARD, Patience, Tries, gate_of, pause, wait_asked
from tasks.mimecast.transport import open_http, transport_failure, trust

log = logging.getLogger("attachment_alerts.mimecast")

GET_LOGS = "/api/ttp/attachment/get-logs"
GET_ACCOUNT = "/api/account/get-account"
PAGE_CAP = 100_000  # 50 million records in one slice: no honest listing is that long
EMPTY_PAGES = 3
HALF_A_SECOND = timedelta(seconds=0.5)  # a Date header is cut to whole seconds

T = TypeVar("T")


@dataclass(frozen=True)
class Quota:
    """What the last answer said about the account's request quota."""

    limit: str
    remaining: str


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
        self._http = open_http(connector.url, verify=trust(), auth=self._auth)
        self._gate = gate_of(connector.realm() + connector.key_identity())
        self._counting = threading.Lock()
        self.refusals = 0  # answers 429 so far
        self.quota: Quota | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def pages(self, start: datetime, end: datetime) -> Iterator[Page]:
        """Every page of [start, end), in order; a row exactly at `end` may be among them.

        Raises PagingBroken for a listing without an honest end, PageTokenRefused where a token is not accepted any
        more (the stretch must be begun again), Stopped, and what any request raises.
        """
        token: str | None = None
        seen: set[str] = set()
        received = empty = 0
        total: int | None = None
        for _ in range(PAGE_CAP):
            page = self._page(start, end, token)
            rows, token = page.records.height, page.next_token
            received, empty = received + rows, 0 if rows else empty + 1
            total = total if page.total is None else page.total
            if token in seen:
                raise PagingBroken(f"Mimecast gave the same page token twice after {received} records. {_AGAIN}")
            if token and empty == EMPTY_PAGES:
                _accept_empty_tail(received, total)
                yield replace(page, empty_tail=True)
                return
            yield page
            if token is None:
                return
            seen.add(token)
        raise PagingBroken(f"No end after {PAGE_CAP} pages. {_AGAIN}")

    def may_read_logs(self) -> None:
        """Ask for the smallest page there is; raises what a poll would raise."""
        now = datetime.now(UTC)
        self._page(now, now, None, size=1)

    def account(self) -> Account:
        """Which account the keys belong to; fields are None where they may not ask."""
        try:
            data = self._ask(GET_ACCOUNT, {"data": []}, lambda answer, _, wait: read_data(answer, wait))
        except PermissionMissing:
            return Account()
        return _account(data[0]) if data and isinstance(data[0], dict) else Account()

    def clock_offset(self) -> timedelta:
        """Server's clock minus ours, within a second; zero where the server does not tell the time."""

        def read(answer: httpx.Response, asked_at: datetime, _: float | None) -> timedelta | None:
            return offset_of(answer, asked_at, datetime.now(UTC))

        offset = self._send(lambda: self._http.build_request("GET", "/"), read, signed=False)
        if offset is None:
            log.warning("The server does not tell the time; this machine's clock is taken as right.")
        return offset or timedelta(0)

    def _page(self, start: datetime, end: datetime, token: str | None, size: int | None = None) -> Page:
        pagination: dict[str, Any] = {"pageSize": size or self._connector.page_size}
        if token:
            pagination["pageToken"] = token  # beside the same data: dates never change under a token
        asked = {"from": _moment(start), "to": _moment(end), "oldestFirst": True, "route": "all", "result": "all"}
        try:
            return self._ask(GET_LOGS, {"meta": {"pagination": pagination}, "data": [asked]}, read_page)
        except ServiceError as refused:
            # A plain refusal of a request that was good a page ago and has only got a token since.
            if token and type(refused) is ServiceError:
                raise PageTokenRefused(f"Mimecast refused a page token in the middle of a listing. {refused}") from refused
            raise

    def _ask(self, path: str, body: object, read: "Reader[T | Failure]") -> T:
        return self._send(lambda: self._http.build_request("POST", path, json=body), read)

    def _send(self, build: Callable[[], httpx.Request], read: "Reader[T | Failure]", signed: bool = True) -> T:
        """Send until there is a result, or patience ends: then the last failure's error is raised."""
        tries = Tries(self._patience)
        while True:
            result = self._once(build(), read, signed)
            if not isinstance(result, Failure):
                return result
            wait = tries.next_wait(result)
            if wait is None:
                raise result.error
            log.info("Trying again (%s): %s", result.retry, result.error)
            if result.retry is not Retry.THROTTLED:  # the gate does that waiting
                pause(wait, self._stop)

    def _once(self, request: httpx.Request, read: "Reader[T | Failure]", signed: bool) -> T | Failure:
        sent_at = self._gate.enter(self._stop)
        asked_at = datetime.now(UTC)
        try:
            response = self._http.send(request, auth=self._auth if signed else None)
        except httpx.RequestError as error:
            return transport_failure(error, self._connector.url)
        wait = wait_asked(response)
        self._note(response, sent_at, wait)
        if response.url.path == TOKEN_PATH:
            return token_failure(response, decoded(response), wait=wait)
        result = read(response, asked_at, wait)
        if isinstance(result, Failure) and result.retry is Retry.TOKEN and isinstance(self._auth, BearerToken):
            self._auth.forget(response.request)
        return result

    def _note(self, response: httpx.Response, sent_at: float, wait: float | None) -> None:
        ...


Reader = Callable[[httpx.Response, datetime, float | None], T]
