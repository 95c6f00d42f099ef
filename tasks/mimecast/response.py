"""Reads an answer into a page of records, or a failure.

A page is decoded in one typed pass. Only a page with an unexpected value is decoded again, record by record, so that
one bad record does not affect the others.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from tasks.http.failure import Failure
from tasks.http.lenient_json import NOT_STRICT, decode, make_strict
from tasks.http.paging import Page
from tasks.ingest.read_records import Record
from tasks.mimecast.error_codes import STATUSES
from tasks.mimecast.failure import failure_of, meta_status
from tasks.mimecast.record import RECORDS

log = logging.getLogger("attachment_alerts.mimecast")

LONGEST_COUNT = 18  # digits

T = TypeVar("T")


class _Pagination(msgspec.Struct, rename={"total": "totalCount"}):
    next: str | None = None
    total: Any = None


class _Meta(msgspec.Struct):
    status: Any = None
    pagination: _Pagination | None = None


class _Logs(msgspec.Struct, Generic[T], rename={"records": "attachmentLogs"}):
    records: list[T]


class _Envelope(msgspec.Struct, Generic[T]):
    meta: _Meta
    data: list[_Logs[T]]
    fail: Any = None


_TYPED = msgspec.json.Decoder(_Envelope[Record])
_ONE_BY_ONE = msgspec.json.Decoder(_Envelope[msgspec.Raw])


def read_page(response: httpx.Response, requested_at: datetime) -> Page[Record] | Failure:
    """The page in an answer of get-logs; an answer of another structure is a failure, never an empty page."""
    if response.status_code == httpx.codes.OK:
        try:
            envelope = _TYPED.decode(response.content)
        except NOT_STRICT:
            return _read_record_by_record(response, requested_at)
        if not envelope.fail and meta_status(envelope.meta.status) in (None, httpx.codes.OK):
            return _page(envelope, requested_at, RECORDS.reader.add_remarks)
    return failure_of(response, decode(response.content)) or STATUSES.garbled(response)


def read_data(response: httpx.Response) -> list[Any] | Failure:
    """`data` in the answer of any other call."""
    body = decode(response.content)
    if failure := failure_of(response, body):
        return failure
    if body is None:
        return STATUSES.garbled(response)
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, list) else STATUSES.not_understood("no `data` list")


def _read_record_by_record(response: httpx.Response, requested_at: datetime) -> Page[Record] | Failure:
    try:
        content = make_strict(response.content)
    except (ValueError, RecursionError):
        return STATUSES.garbled(response)
    if content is not response.content:
        log.warning("An answer was not strict JSON: invalid characters or numbers were replaced.")
    if failure := failure_of(response, msgspec.json.decode(content)):
        return failure
    try:
        envelope = _ONE_BY_ONE.decode(content)
    except msgspec.ValidationError as wrong:
        return STATUSES.not_understood(str(wrong))
    return _page(
        envelope, requested_at, lambda records: [RECORDS.reader.read_leniently(bytes(record)) for record in records]
    )


def _page(
    envelope: _Envelope[T], requested_at: datetime, read: Callable[[list[T]], list[Record]]
) -> Page[Record] | Failure:
    if len(envelope.data) > 1:
        return STATUSES.not_understood(f"{len(envelope.data)} elements in `data` instead of one")
    records = envelope.data[0].records if envelope.data else []
    pagination = envelope.meta.pagination or _Pagination()
    return Page(read(records), requested_at, pagination.next or None, _count(pagination.total))


def _count(total: object) -> int | None:
    """The vendor's count; None if it is no number, or none that a column holds."""
    if total is None or total == "":
        return None
    if isinstance(total, str) and total.isascii() and total.isdigit() and len(total) <= LONGEST_COUNT:
        return int(total)
    if isinstance(total, int) and not isinstance(total, bool) and 0 <= total < 10**LONGEST_COUNT:
        return total
    log.warning("The service's total count is ignored: it is not a number that can be stored.")
    return None
