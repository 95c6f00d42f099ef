"""A listing page by page: when it has ended, and when it cannot be trusted (design: End of paging)."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from tasks.errors import PagingBroken
from tasks.mimecast.response import Page

log = logging.getLogger("attachment_alerts.mimecast")

PAGE_CAP = 100_000  # 50 million records in one slice: no honest listing is that long
EMPTY_PAGES = 3

_AGAIN = "The slice is not counted as fetched; the next run fetches it again."


def every_page(ask: Callable[[str | None], Page]) -> Iterator[Page]:
    """Every page, in order; `ask` fetches the one that a token names, without a token the first.

    Raises PagingBroken for a listing without an honest end.
    """
    token: str | None = None
    seen: set[str] = set()
    received = empty = 0
    total: int | None = None
    for _ in range(PAGE_CAP):
        page = ask(token)
        token, rows = page.next_token, len(page.records)
        received += rows
        empty = 0 if rows else empty + 1
        total = total if page.total is None else page.total
        if token in seen:
            raise PagingBroken(f"Mimecast gave the same page token twice after {received} records. {_AGAIN}")
        if token and empty == EMPTY_PAGES:
            _accept_empty_tail(received, total)
            yield replace(page, empty_tail=True)
            return
        yield page
        if token is None:
            return
        seen.add(token)
    raise PagingBroken(f"No end after {PAGE_CAP} pages. {_AGAIN}")


def _accept_empty_tail(received: int, total: int | None) -> None:
    if total is not None and received < total:
        raise PagingBroken(
            f"Mimecast announced {total} records and stopped after {received} with {EMPTY_PAGES} empty pages. {_AGAIN}"
        )
    log.warning("The listing ended with %d empty pages instead of a clear end; taken as its end.", EMPTY_PAGES)
