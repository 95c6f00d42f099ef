"""An answer's bytes become a page of objects, or a failure."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from tasks.entra.failure import graph_failure
from tasks.errors import AnswerNotUnderstood
from tasks.http.failure import Failure, Retry
from tasks.sanitize import plain

Record = dict[str, Any]

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Page:
    """One answer of a listing; `next_link` is None on the last."""

    records: list[Record]
    next_link: str | None


def decoded(content: bytes) -> object | None:
    """The body as JSON values; None where it is not JSON.

    A name cut in the middle of a character must not stop every pull: half characters are replaced.
    """
    try:
        value: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            mended = json.loads(content.decode("utf-8-sig", errors="replace"), strict=False)
            value = json.loads(_HALF_CHARACTER.sub("\ufffd", json.dumps(mended, ensure_ascii=False)))
        except (ValueError, RecursionError):
            return None
    return value


def read_object(response: httpx.Response) -> Record | Failure:
    """The one object of an answer. One with an `error` is a failure, whatever its status."""
    body = decoded(response.content)
    if response.is_success and body is None:
        return _garbled(response)
    if not response.is_success or (isinstance(body, dict) and body.get("error")):
        return graph_failure(response, body)
    return body if isinstance(body, dict) else not_understood("no object")


def read_page(response: httpx.Response) -> Page | Failure:
    """A page of a listing; an answer of another shape is a failure, never an empty page."""
    body = read_object(response)
    return body if isinstance(body, Failure) else page_of(body)


def page_of(body: Record) -> Page | Failure:
    """A page of a listing that has been decoded already."""
    records, following = body.get("value"), body.get("@odata.nextLink")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return not_understood("no list of objects in `value`")
    if following is not None and not isinstance(following, str):
        return not_understood("`@odata.nextLink` is no address")
    return Page(records, following or None)


def _garbled(response: httpx.Response) -> Failure:
    """A success that is not JSON: cut off on the way, or somebody else's page."""
    kind = plain(response.headers.get("content-type", "no content type"), 60)
    return Failure(
        AnswerNotUnderstood(
            f"The answer is not JSON ({kind}, {len(response.content)} bytes), several times in a row. "
            "A proxy's page in Microsoft's place? A later run tries again."
        ),
        Retry.GARBLED,
    )


def not_understood(why: str) -> Failure:
    return Failure(
        AnswerNotUnderstood(
            f"Microsoft Graph's answer does not have the agreed shape: {plain(why)}. Nothing was skipped. "
            "Report this text if it stays so: the interface may have changed."
        ),
        Retry.NEVER,
    )
