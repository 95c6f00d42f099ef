"""Client of both API generations: every page of a period, or an exception."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from tasks.errors import AlertsError, PageTokenRefused, PermissionMissing, ServiceError
from tasks.http.check import Account
from tasks.http.client import open_http
from tasks.http.failure import Failure
from tasks.http.lenient_json import decode
from tasks.http.oauth import ClientCredentialsToken
from tasks.http.paging import Page, iterate_pages
from tasks.http.retry import STANDARD, RetryPolicy
from tasks.http.service_client import Reader, ServiceClient
from tasks.ingest.read_records import Record
from tasks.mimecast.api_1_signature import signed_requests
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.failure import token_failure
from tasks.mimecast.response import read_data, read_page

GET_LOGS = "/api/ttp/attachment/get-logs"
GET_ACCOUNT = "/api/account/get-account"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path

T = TypeVar("T")


class MimecastClient(ServiceClient):
    """Reads one account, by either API generation."""

    def __init__(
        self, connector: MimecastConnector, *, stop: threading.Event | None = None, policy: RetryPolicy = STANDARD
    ) -> None:
        http, account = open_http(connector.url), connector.realm() + connector.key_identity()
        super().__init__("Mimecast", http, _auth_of(connector, http), account=account, stop=stop, policy=policy)
        self._connector = connector

    def token_failure(self, response: httpx.Response) -> Failure:
        return token_failure(response, decode(response.content))

    def explain(self, error: AlertsError) -> AlertsError:
        return self._connector.with_rotation_hint(error, "them")

    def pages(self, start: datetime, end: datetime) -> Iterator[Page[Record]]:
        """Every page of [start, end), in order; a row exactly at `end` may be among them.

        Raises PagingBroken for a listing that repeats pages or does not end, PageTokenRefused for a token that
        is no longer accepted (the slice must be restarted), Stopped, and what any request raises.
        """
        return iterate_pages("Mimecast", lambda token: self._page(start, end, token))

    def may_read_logs(self) -> None:
        """Request the smallest page; raises what a poll would raise."""
        now = datetime.now(UTC)
        self._page(now, now, None, size=1)

    def account(self) -> Account:
        """Which account the keys belong to; fields are None if they may not read it."""
        try:
            data = self._ask(GET_ACCOUNT, {"data": []}, lambda answer, _: read_data(answer))
        except PermissionMissing:
            return Account()
        return _account(data[0]) if data and isinstance(data[0], dict) else Account()

    def _page(self, start: datetime, end: datetime, token: str | None, size: int | None = None) -> Page[Record]:
        pagination: dict[str, Any] = {"pageSize": size or self._connector.page_size}
        if token:
            pagination["pageToken"] = token  # with the same dates as the first request
        query = {
            "from": _moment(start),
            "to": _moment(end),
            "oldestFirst": True,
            "route": "all",
            "result": "all",
        }
        try:
            return self._ask(GET_LOGS, {"meta": {"pagination": pagination}, "data": [query]}, read_page)
        except ServiceError as refused:
            # The first page was accepted, and this request differs only in its page token.
            if token and type(refused) is ServiceError:
                raise PageTokenRefused(
                    f"Mimecast refused a page token in the middle of a listing. {refused}"
                ) from refused
            raise

    def _ask(self, path: str, body: object, read: Reader[T]) -> T:
        return self.send(lambda: self.http.build_request("POST", path, json=body), read)


def _auth_of(connector: MimecastConnector, http: httpx.Client) -> httpx.Auth:
    if connector.api == "1.0":
        return signed_requests(connector)
    secret = connector.client_secret.get_secret_value()
    return ClientCredentialsToken(http, connector.url + TOKEN_PATH, connector.client_id, secret)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _account(data: dict[str, Any]) -> Account:
    packages = data.get("packages")
    return Account(
        code=_text(data.get("accountCode")),
        name=_text(data.get("accountName")),
        region=_text(data.get("region")),
        packages=tuple(map(str, packages)) if isinstance(packages, list) else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
