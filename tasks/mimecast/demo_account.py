"""The recorded account of `demo` and `simulate`, replayed over HTTP on loopback as an account of API 2.0.

`data/demo-account/` holds answers of the service: its pages, oldest record first, and the account. All dates are moved
by the same time, so that the sample alerts are always recent. `python -m tests.simulator.record_demo` writes the files.
"""

import base64
import json
import secrets
import sys
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from tasks.errors import SettingsError
from tasks.mimecast.client import GET_ACCOUNT, GET_LOGS, TOKEN_PATH
from tasks.settings import DEFAULTS

RECORDING = DEFAULTS / "demo-account"
RECORDING_END = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = {"client_id": "simulated-client-1", "client_secret": "simulated-secret-1"}

HOST = "127.0.0.1"
TOKEN_SECONDS = 1_799
LARGEST_PAGE = 500

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Pagination(msgspec.Struct, rename="camel"):
    page_size: Annotated[int, msgspec.Meta(gt=0)] = 100
    page_token: str = ""


class _Meta(msgspec.Struct):
    pagination: _Pagination = msgspec.field(default_factory=_Pagination)


class _Range(msgspec.Struct, rename={"start": "from", "end": "to"}):
    start: Time
    end: Time


class _ListRequest(msgspec.Struct):
    data: Annotated[list[_Range], msgspec.Meta(min_length=1)]
    meta: _Meta = msgspec.field(default_factory=_Meta)


class Answer(NamedTuple):
    status: HTTPStatus
    content: Mapping[str, Any]


class DemoAccount:
    """The recording as if it had ended at `end`. Raises SettingsError if its files cannot be read."""

    def __init__(self, end: datetime) -> None:
        try:
            self._account = _read(RECORDING / "account.json")
            pages = [_read(file) for file in sorted(RECORDING.glob("page-*.json"))]
        except (OSError, ValueError) as error:
            raise SettingsError(f"The recorded account cannot be read: {error}. Restore {RECORDING}.") from error
        records = [record for page in pages for record in page["data"][0]["attachmentLogs"]]
        self._records, self._dates = _moved(records, end)
        self._tokens: set[str] = set()

    def answer(self, path: str, authorization: str, body: bytes) -> Answer:
        """The answer to a POST request."""
        if path == TOKEN_PATH:
            return self._issue_token(dict(parse_qsl(body.decode(errors="replace"))))
        if path not in (GET_ACCOUNT, GET_LOGS):
            return _error(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this address")
        if authorization.removeprefix("Bearer ") not in self._tokens:
            return _error(HTTPStatus.UNAUTHORIZED, "unauthorized", "The access token is missing or not valid")
        if path == GET_ACCOUNT:
            return Answer(HTTPStatus.OK, self._account)
        try:
            return self._list(msgspec.json.decode(body, type=_ListRequest))
        except ValueError as error:  # also what msgspec raises
            return _error(HTTPStatus.BAD_REQUEST, "err_validation", str(error))

    def _issue_token(self, form: Mapping[str, str]) -> Answer:
        if form != KEYS | {"grant_type": "client_credentials"}:
            return _error(HTTPStatus.UNAUTHORIZED, "unauthorized", "The client credentials are not valid")
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return Answer(HTTPStatus.OK, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    def _list(self, request: _ListRequest) -> Answer:
        """A page of the records of a time range, both ends included."""
        asked, pagination = request.data[0], request.meta.pagination
        found = self._records[bisect_left(self._dates, asked.start) : bisect_right(self._dates, asked.end)]
        first = _offset_of(pagination.page_token) if pagination.page_token else 0
        end = first + min(pagination.page_size, LARGEST_PAGE)
        records = found[first:end]
        place: dict[str, Any] = {"pageSize": len(records), "totalCount": len(found)}
        if end < len(found):
            place["next"] = _page_token(end)
        meta = {"status": HTTPStatus.OK, "pagination": place}
        return Answer(HTTPStatus.OK, {"meta": meta, "data": [{"attachmentLogs": records}], "fail": []})


class DemoServer(ThreadingHTTPServer):
    """Serves the account on loopback; port 0 selects a free port. Raises SettingsError if the port is in use."""

    daemon_threads = True  # clients may keep their connections open

    def __init__(self, account: DemoAccount, port: int = 0) -> None:
        self.account = account
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise SettingsError(
                f"Port {port} cannot be used ({error.strerror}). Choose another with --port."
            ) from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the client has closed the connection
            super().handle_error(request, client_address)


@contextmanager
def serve_in_background(account: DemoAccount) -> Iterator[str]:
    """Serve the account from a thread of this process; yields the URL."""
    with DemoServer(account) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-account")
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent separately; otherwise the body waits for 40 ms

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = self.server.account.answer(self.path, self.headers.get("authorization") or "", body)
        content = msgspec.json.encode(answer.content)
        self.send_response(answer.status)
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the terminal shows the command's own output."""


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_bytes()))


def _moved(records: list[Any], end: datetime) -> tuple[list[Any], list[datetime]]:
    """Records with their new dates, and at which time each is listed.

    That is its date, except for the broken records: without a valid date, or with one that is later than the date of
    the next record, they are listed at the time of the next one.
    """
    moved, times, listed = [], [], end
    for record in reversed(records):
        try:
            date = datetime.strptime(record["date"], "%Y-%m-%dT%H:%M:%S%z") + (end - RECORDING_END)
        except (TypeError, LookupError, ValueError):
            moved.append(record)
        else:
            moved.append(record | {"date": f"{date:%Y-%m-%dT%H:%M:%S%z}"})
            listed = min(date, listed)
        times.append(listed)
    return moved[::-1], times[::-1]


def _page_token(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset_of(page_token: str) -> int:
    """Raises ValueError for a text that is not a page token."""
    return int(base64.urlsafe_b64decode(page_token))


def _error(status: HTTPStatus, code: str, message: str) -> Answer:
    """An error in the form of the gateway of API 2.0."""
    return Answer(status, {"fail": [{"code": code, "message": message}]})
