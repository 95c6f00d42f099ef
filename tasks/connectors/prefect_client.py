"""The Prefect API in use, which holds the saved connectors: its location, a client, and its errors as ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from tasks.errors import Unreachable
from tasks.http.loopback import is_loopback
from tasks.sanitize import plain

GIVE_LOGIN = 'export PREFECT_API_AUTH_STRING="$(attachment-alerts server-login --show)"'
PAGE = 200  # the most rows that Prefect returns at once

T = TypeVar("T")


def api_location() -> str:
    """The Prefect API that holds the connectors, as text for messages."""
    settings = get_current_settings()
    if settings.api.url:
        return f"the Prefect API at {plain(str(httpx.URL(settings.api.url).copy_with(userinfo=b'')))}"
    database = settings.server.database.connection_url
    place = database.get_secret_value() if database else ""
    if place.startswith("sqlite"):
        return f"the local Prefect database {place.partition(':///')[2]} (no PREFECT_API_URL is set)"
    return "the Prefect database of this machine (no PREFECT_API_URL is set)"


def all_pages(read: Callable[[int, int], list[T]]) -> list[T]:
    """All rows of a query. `read`: takes limit and offset."""
    found: list[T] = []
    while True:
        page = read(PAGE, len(found))
        found += page
        if len(page) < PAGE:
            return found


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of the Prefect API in use. Raises Unreachable for its errors."""
    with api_errors_translated(), get_client(sync_client=True) as client:
        yield client


@contextmanager
def api_errors_translated() -> Iterator[None]:
    """Raises Unreachable for errors of the Prefect API in use."""
    try:
        yield
    except httpx.HTTPStatusError as refused:
        if refused.response.status_code == httpx.codes.UNAUTHORIZED and is_loopback(refused.request.url.host):
            raise Unreachable(
                f"The login was rejected by {api_location()} (HTTP 401). If it is the server of this home, run: "
                f"{GIVE_LOGIN}"
            ) from None
        raise Unreachable(
            f"HTTP {refused.response.status_code} from {api_location()}. Check PREFECT_API_URL, "
            "PREFECT_API_AUTH_STRING (user:password) or PREFECT_API_KEY, and the version of the server."
        ) from None  # the cause holds what was sent
    except httpx.TransportError as unreachable:
        raise Unreachable(
            f"No answer from {api_location()} ({type(unreachable).__name__}). Start it, or correct PREFECT_API_URL."
        ) from unreachable
