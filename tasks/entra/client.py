"""Client of Microsoft Graph: every page of a listing, or an exception."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import httpx

from tasks.entra.auth import MicrosoftToken
from tasks.entra.batch import Absent, batch_body, sort_answers
from tasks.entra.connector import EntraConnector
from tasks.entra.failure import sign_in_failure
from tasks.entra.response import Page, Record, read_object, read_page
from tasks.errors import AlertsError, PageTokenRefused, PagingBroken, ServiceError
from tasks.http.client import open_http
from tasks.http.failure import Failure
from tasks.http.lenient_json import decode
from tasks.http.retry import STANDARD, RetryPolicy
from tasks.http.service_client import ServiceClient
from tasks.sanitize import plain

log = logging.getLogger("attachment_alerts.entra")

VERSION = "/v1.0"
PAGE_CAP = 20_000  # 20 million objects
BATCH = 20  # requests in one `$batch`: Graph's own limit

T = TypeVar("T")

_NEXT_PULL = "Nothing of this pull was imported; the next pull starts over."


class GraphClient(ServiceClient):
    """Reads one directory."""

    def __init__(
        self, connector: EntraConnector, *, stop: threading.Event | None = None, policy: RetryPolicy = STANDARD
    ) -> None:
        http, account = open_http(connector.url), f"{connector.realm()} {connector.directory_id} {connector.client_id}"
        self._token = MicrosoftToken(connector, http)
        super().__init__("Microsoft Graph", http, self._token, account=account, stop=stop, policy=policy)
        self._connector = connector
        self._root = connector.url + VERSION

    def token_failure(self, response: httpx.Response) -> Failure:
        return sign_in_failure(response, decode(response.content))

    def explain(self, error: AlertsError) -> AlertsError:
        return self._connector.with_rotation_hint(error, "it")

    def listing(self, path: str) -> list[Record]:
        """Every object of a listing, e.g. `/users?$top=999`; restarted once if a page token is refused.

        Raises PagingBroken for a listing that repeats pages or does not end, Stopped, and what any request raises.
        """
        try:
            return self._all(self._root + path)
        except PageTokenRefused as refused:
            log.warning("The listing is restarted: %s", refused)
            return self._all(self._root + path)

    def listings(self, paths: Sequence[str]) -> Iterator[tuple[str, list[Record] | Absent]]:
        """Many small listings, twenty in a request; "gone" or "forbidden" instead of the objects of one that is."""
        for start in range(0, len(paths), BATCH):
            for path, first in self._batch(paths[start : start + BATCH]).items():
                if isinstance(first, Page):
                    next_link = first.next_link
                    yield path, first.records + (self._all(self._checked(next_link)) if next_link else [])
                else:
                    yield path, first

    def object(self, path: str) -> Record:
        return self._get(self._root + path, read_object)

    def roles(self) -> frozenset[str] | None:
        """The permissions in the present token; None before the first call, or if it does not list any."""
        return self._token.roles()

    def _all(self, link: str) -> list[Record]:
        records: list[Record] = []
        seen = {link}
        for number in range(PAGE_CAP):
            page = self._page(link, first=number == 0)
            records += page.records
            if page.next_link is None:
                return records
            link = self._checked(page.next_link)
            if link in seen:
                raise PagingBroken(
                    f"Microsoft Graph returned the same page twice after {len(records)} objects. {_NEXT_PULL}"
                )
            seen.add(link)
        raise PagingBroken(f"No end after {PAGE_CAP} pages. {_NEXT_PULL}")

    def _page(self, link: str, *, first: bool) -> Page:
        try:
            return self._get(link, read_page)
        except ServiceError as refused:
            # The first page was accepted, and this request differs only in its page token.
            if not first and type(refused) is ServiceError:
                raise PageTokenRefused(f"Microsoft Graph refused the next page of a listing. {refused}") from refused
            raise

    def _checked(self, link: str) -> str:
        """The link; raises PagingBroken if it leads to another host than the token is for."""
        own = httpx.URL(self._root)
        try:
            url = httpx.URL(link)
        except httpx.InvalidURL:
            raise PagingBroken(
                f"Microsoft Graph's link to the next page is not a valid address. {_NEXT_PULL}"
            ) from None
        if (url.scheme, url.host, url.port) != (own.scheme, own.host, own.port) or url.userinfo:
            raise PagingBroken(
                f"The link to the next page leads to another host ({plain(url.host, 80)}), which must not get our "
                f"token. {_NEXT_PULL} Check base URL and proxy."
            )
        return link

    def _batch(self, paths: Sequence[str]) -> dict[str, Page | Absent]:
        done: dict[str, Page | Absent] = {}

        def read(response: httpx.Response, _: datetime) -> bool | Failure:
            body = read_object(response)
            return body if isinstance(body, Failure) else sort_answers(paths, body.get("responses"), done)

        self.send(lambda: self.http.build_request("POST", f"{self._root}/$batch", json=batch_body(paths, done)), read)
        return done

    def _get(self, link: str, read: Callable[[httpx.Response], T | Failure]) -> T:
        return self.send(lambda: self.http.build_request("GET", link), lambda response, _: read(response))
