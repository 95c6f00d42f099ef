"""Asks Microsoft Graph: every page of a listing, or an exception.

The only layer that repeats requests. It may be used by several threads at once.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import httpx

from tasks.entra.auth import MicrosoftToken, NoTokenIssued
from tasks.entra.batch import Absent, asked, settle
from tasks.entra.connector import EntraConnector
from tasks.entra.failure import sign_in_failure
from tasks.entra.response import Page, Record, decoded, read_object, read_page
from tasks.errors import PageTokenRefused, PagingBroken, ServiceError
from tasks.http.client import offset_of, open_http, transport_failure
from tasks.http.failure import Failure, Retry
from tasks.http.rate_limit import gate_of
from tasks.http.retry import SHORTEST, STANDARD, Patience, Tries, pause, wait_asked
from tasks.sanitize import plain

log = logging.getLogger("attachment_alerts.entra")

VERSION = "/v1.0"
PAGE_CAP = 20_000  # 20 million objects: no honest directory is that large
BATCH = 20  # requests in one `$batch`: Graph's own limit

T = TypeVar("T")
Reader = Callable[[httpx.Response], T | Failure]

_AGAIN = "Nothing of this pull is imported; the next one begins anew."


class GraphClient:
    """Reads one directory. Close it, or use it in a `with`."""

    def __init__(
        self, connector: EntraConnector, *, stop: threading.Event | None = None, patience: Patience = STANDARD
    ) -> None:
        self._connector = connector
        self._root = connector.url + VERSION
        self._stop = stop or threading.Event()
        self._patience = patience
        self._http = open_http(connector.url)
        self._auth = MicrosoftToken(connector, self._http)
        self._gate = gate_of(f"{connector.realm()} {connector.directory_id} {connector.client_id}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def listing(self, path: str) -> list[Record]:
        """Every object of a listing, e.g. `/users?$top=999`; begun again once where a page token is refused.

        Raises PagingBroken for a listing without an honest end, Stopped, and what any request raises.
        """
        try:
            return self._all(self._root + path)
        except PageTokenRefused as refused:
            log.warning("the listing is fetched again from its start: %s", refused)
            return self._all(self._root + path)

    def listings(self, paths: Sequence[str]) -> Iterator[tuple[str, list[Record] | Absent]]:
        """Many small listings, twenty in a request; what is gone or forbidden is told instead of its objects."""
        for start in range(0, len(paths), BATCH):
            for path, first in self._batch(paths[start : start + BATCH]).items():
                if isinstance(first, Page):
                    following = first.next_link
                    yield path, first.records + (self._all(self._own(following)) if following else [])
                else:
                    yield path, first

    def object(self, path: str) -> Record:
        """One object."""
        return self._send(lambda: self._http.build_request("GET", self._root + path), read_object, self._auth)

    def roles(self) -> frozenset[str] | None:
        """The permissions the token in hand claims; None before the first call, or where it does not tell."""
        return self._auth.roles()

    def clock_difference(self) -> timedelta | None:
        """Server's clock minus ours, None where the server does not tell the time. Sends no key."""

        def read(answer: httpx.Response) -> timedelta | None:
            return offset_of(answer, asked_at, datetime.now(UTC))

        asked_at = datetime.now(UTC)
        return self._send(lambda: self._http.build_request("GET", self._connector.login_url), read, None)

    def _all(self, link: str) -> list[Record]:
        records: list[Record] = []
        seen = {link}
        for number in range(PAGE_CAP):
            page = self._page(link, first=number == 0)
            records += page.records
            if page.next_link is None:
                return records
            link = self._own(page.next_link)
            if link in seen:
                raise PagingBroken(f"Microsoft Graph gave the same page twice after {len(records)} objects. {_AGAIN}")
            seen.add(link)
        raise PagingBroken(f"No end after {PAGE_CAP} pages. {_AGAIN}")

    def _page(self, link: str, *, first: bool) -> Page:
        try:
            return self._send(lambda: self._http.build_request("GET", link), read_page, self._auth)
        except ServiceError as refused:
            # A plain refusal of a request that was good a page ago and has only got a token since.
            if not first and type(refused) is ServiceError:
                raise PageTokenRefused(f"Microsoft Graph refused the next page of a listing. {refused}") from refused
            raise

    def _own(self, link: str) -> str:
        """The link, if it leads to the host that the token is for."""
        ours = httpx.URL(self._root)
        try:
            url = httpx.URL(link)
        except httpx.InvalidURL:
            raise PagingBroken(f"Microsoft Graph's link to the next page is no address. {_AGAIN}") from None
        if (url.scheme, url.host, url.port) != (ours.scheme, ours.host, ours.port) or url.userinfo:
            raise PagingBroken(
                f"The link to the next page leads to another host ({plain(url.host, 80)}), which must not get our "
                f"token. {_AGAIN} Check base URL and proxy."
            )
        return link

    def _batch(self, paths: Sequence[str]) -> dict[str, Page | Absent]:
        done: dict[str, Page | Absent] = {}

        def build() -> httpx.Request:
            return self._http.build_request("POST", f"{self._root}/$batch", json=asked(paths, done))

        def read(response: httpx.Response) -> bool | Failure:
            body = read_object(response)
            return body if isinstance(body, Failure) else settle(paths, body.get("responses"), done)

        self._send(build, read, self._auth)
        return done

    def _send(self, build: Callable[[], httpx.Request], read: Reader[T], auth: httpx.Auth | None) -> T:
        """Send until there is a result, or patience ends: then the last failure's error is raised."""
        tries = Tries(self._patience)
        while True:
            sent_at = self._gate.enter(self._stop)
            result = self._once(build(), read, auth)
            if not isinstance(result, Failure):
                self._gate.accepted()
                return result
            wait = tries.next_wait(result)
            if result.retry is Retry.THROTTLED:
                self._gate.refused(sent_at, wait or result.wait or SHORTEST)
            if wait is None:
                raise self._connector.told(result.error, "it")
            log.info("Microsoft Graph: %s; trying again in %.1f s", result.retry, wait)
            if result.retry is not Retry.THROTTLED:  # that wait is the gate's
                pause(wait, self._stop)

    def _once(self, request: httpx.Request, read: Reader[T], auth: httpx.Auth | None) -> T | Failure:
        try:
            response = self._http.send(request, auth=auth)
            result = read(response)
        except NoTokenIssued as refused:  # so the call itself was never sent
            response = refused.response
            result = sign_in_failure(response, decoded(response.content))
        except httpx.RequestError as error:
            url = error.request.url
            return transport_failure(error, f"{url.scheme}://{url.netloc.decode()}")
        if not isinstance(result, Failure):
            return result
        if result.retry is Retry.TOKEN:
            self._auth.forget(response.request)
        return result if result.wait is not None else replace(result, wait=wait_asked(response))
