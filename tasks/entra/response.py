"""An answer's bytes become a page of objects, or a failure."""

from dataclasses import dataclass
from typing import Any

import httpx

from tasks.entra.failure import STATUSES, graph_failure
from tasks.http.failure import Failure
from tasks.http.lenient_json import decode

Record = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """One answer of a listing; `next_link` is None on the last."""

    records: list[Record]
    next_link: str | None


def read_object(response: httpx.Response) -> Record | Failure:
    """The one object of an answer. One with an `error` is a failure, whatever its status."""
    body = decode(response.content)
    if response.is_success and body is None:
        return STATUSES.garbled(response)
    if not response.is_success or (isinstance(body, dict) and body.get("error")):
        return graph_failure(response, body)
    return body if isinstance(body, dict) else STATUSES.not_understood("no object")


def read_page(response: httpx.Response) -> Page | Failure:
    """A page of a listing; an answer of another shape is a failure, never an empty page."""
    body = read_object(response)
    return body if isinstance(body, Failure) else page_of(body)


def page_of(body: Record) -> Page | Failure:
    """A page of a listing that has been decoded already."""
    records, following = body.get("value"), body.get("@odata.nextLink")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return STATUSES.not_understood("`value` is not a list of objects")
    if following is not None and not isinstance(following, str):
        return STATUSES.not_understood("`@odata.nextLink` is not an address")
    return Page(records, following or None)
