"""An answer's bytes become a page of records, or a failure.

A page is decoded in one typed pass. Only a page with an odd value is decoded again, record by record, so that
one odd record costs that record and never its neighbours.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import httpx
import msgspec
import polars as pl

from tasks.http.failure import Failure
from tasks.http.lenient_json import NOT_STRICT, decode, make_strict
from tasks.mimecast.error_codes import STATUSES
from tasks.mimecast.failure import failure_of
from tasks.mimecast.record import KNOWN, RECORD_FIELDS, Record, noted, noticed, with_care

log = logging.getLogger("attachment_alerts.mimecast")

REMARKS = ("raw", "problem", "leftover")
PAGE_SCHEMA = dict.fromkeys((*RECORD_FIELDS, *REMARKS), pl.String)
_RECORD_SCHEMA = dict.fromkeys(RECORD_FIELDS, pl.String)
_NO_REMARKS = [pl.Series(name, [None], pl.String) for name in REMARKS]

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """One answer.

    `records` are for `frame_of`, in answer order. Frames are made of several pages at once: one for each page of 500
    would cost as much again as decoding it.
    """

    records: list[Record]
    requested_at: datetime  # UTC, just before the request was sent
    next_token: str | None
    total: int | None  # the vendor's count for the whole query, informative
    empty_tail: bool = False  # the listing ended by three empty pages, not by the vendor saying so


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


def read_page(response: httpx.Response, requested_at: datetime) -> Page | Failure:
    """The page in an answer of get-logs; an answer of another shape is a failure, never an empty page."""
    if response.status_code == httpx.codes.OK:
        try:
            envelope = _TYPED.decode(response.content)
        except NOT_STRICT:
            return _read_with_care(response, requested_at)
        if not envelope.fail and str(envelope.meta.status) in ("None", "200"):
            return _page(envelope, requested_at, noticed)
    return failure_of(response, decode(response.content)) or STATUSES.garbled(response)


def read_records(texts: Iterable[str]) -> pl.DataFrame:
    """Records that were kept as JSON, as the rows of a page."""
    return frame_of([with_care(text.encode()) for text in texts])


def read_data(response: httpx.Response) -> list[Any] | Failure:
    """`data` of any other call's answer."""
    body = decode(response.content)
    if failure := failure_of(response, body):
        return failure
    if body is None:
        return STATUSES.garbled(response)
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, list) else STATUSES.not_understood("no `data` list")


def _read_with_care(response: httpx.Response, requested_at: datetime) -> Page | Failure:
    try:
        content = make_strict(response.content)
    except (ValueError, RecursionError):
        return STATUSES.garbled(response)
    if content is not response.content:
        log.warning("An answer was not strict JSON (broken characters or numbers); what was broken is replaced.")
    if failure := failure_of(response, msgspec.json.decode(content)):
        return failure
    try:
        envelope = _ONE_BY_ONE.decode(content)
    except msgspec.ValidationError as wrong:
        return STATUSES.not_understood(str(wrong))
    return _page(envelope, requested_at, lambda records: [with_care(bytes(record)) for record in records])


def _page(envelope: _Envelope[T], requested_at: datetime, read: Callable[[list[T]], list[Record]]) -> Page | Failure:
    if len(envelope.data) > 1:
        return STATUSES.not_understood(f"{len(envelope.data)} elements in `data` instead of one")
    records = envelope.data[0].records if envelope.data else []
    pagination = envelope.meta.pagination or _Pagination()
    return Page(read(records), requested_at, pagination.next or None, _count(pagination.total))


def _count(total: object) -> int | None:
    if isinstance(total, str) and total.isascii() and total.isdigit():
        return int(total)
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def frame_of(records: list[Record]) -> pl.DataFrame:
    """PAGE_SCHEMA: the vendor's 13 fields as text, and what was remarked.

    `raw` is the record as sorted JSON, where its keys are not exactly the known ones or it needed care; `problem` says
    why it is no usable record; `leftover` names the unknown keys, comma-separated.
    """
    records = records.copy()
    columns = {name: _column(records, name) for name in RECORD_FIELDS}
    frame = pl.DataFrame(columns, schema=_RECORD_SCHEMA)
    odd = [place for place, record in enumerate(records) if len(record) != KNOWN]
    if not odd:
        return frame.hstack([remark.new_from_index(0, len(records)) for remark in _NO_REMARKS])
    remarks: dict[str, list[str | None]] = {name: [None] * len(records) for name in REMARKS}
    for place in odd:
        for name, remark in remarks.items():
            remark[place] = records[place][name]
    return frame.hstack(pl.DataFrame(remarks, schema=dict.fromkeys(REMARKS, pl.String)).get_columns())


def _column(records: list[Record], name: str) -> list[str | None]:
    try:
        return [record[name] for record in records]
    except KeyError:  # a record with as many names, but others; columns that are made already stay as they are
        records[:] = [record if name in record else noted(record) for record in records]
        return [record[name] for record in records]
