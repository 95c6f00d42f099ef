"""Reads a listing page by page and detects its end."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from tasks.errors import PagingBroken

log = logging.getLogger("attachment_alerts.http")

PAGE_CAP = 100_000  # 50 million records in one slice
EMPTY_PAGES = 3

_NEXT_RUN = "The slice is not covered; the next run fetches it again."

R = TypeVar("R")


@dataclass(frozen=True)
class Page(Generic[R]):
    """One answer of a listing."""

    records: list[R]  # in the order of the answer
    requested_at: datetime  # UTC, just before the request was sent
    next_token: str | None
    total: int | None  # the vendor's count for the query, informative only
    empty_tail: bool = False  # the listing ended with empty pages, not without a next token


def iterate_pages(service: str, fetch_page: Callable[[str | None], Page[Any]]) -> Iterator[Page[Any]]:
    """Every page, in order. `fetch_page`: takes the page's token, None for the first page.

    An empty page whose token repeats, or several in a row with new tokens, are the end: some listings never return a
    page without a token. The total decides nothing, because services count it differently from what they list.

    Raises PagingBroken for a listing without an end.
    """
    token: str | None = None
    seen: set[str] = set()
    received = empty = 0
    for _ in range(PAGE_CAP):
        page = fetch_page(token)
        token, rows = page.next_token, len(page.records)
        received += rows
        empty = 0 if rows else empty + 1
        if rows and token in seen:
            raise PagingBroken(f"{service} returned the same page token twice after {received} records. {_NEXT_RUN}")
        if token and empty and (token in seen or empty == EMPTY_PAGES):
            log.warning("The listing ended with empty pages and a further page token; this is treated as its end.")
            yield replace(page, empty_tail=True)
            return
        yield page
        if token is None:
            return
        seen.add(token)
    raise PagingBroken(f"No end after {PAGE_CAP} pages. {_NEXT_RUN}")
