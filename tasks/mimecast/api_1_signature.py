"""Signs every request by HMAC, as API 1.0 requires."""

import base64
import hmac
import uuid
from collections.abc import Generator
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx

from tasks.mimecast.connector import MimecastConnector


def sign(secret_key: str, date: str, request_id: str, path: str, application_key: str) -> str:
    """The signature as base64. `path`: without host and query; method, body and application id are not signed."""
    text = f"{date}:{request_id}:{path}:{application_key}"
    digest = hmac.digest(base64.b64decode(secret_key), text.encode(), "sha1")
    return base64.b64encode(digest).decode()


def mimecast_date(moment: datetime) -> str:
    """`Tue, 24 Nov 2015 12:50:11 UTC`, in English whatever the locale."""
    return format_datetime(moment.astimezone(UTC), usegmt=True).removesuffix("GMT") + "UTC"


class SignedRequests(httpx.Auth):
    """Signs every request of API 1.0, each retry with a new signature."""

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


def signed_requests(connector: MimecastConnector) -> SignedRequests:
    return SignedRequests(
        connector.application_id,
        connector.application_key.get_secret_value(),
        connector.access_key.get_secret_value(),
        connector.secret_key.get_secret_value(),
    )
