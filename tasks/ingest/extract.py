"""Pages of a slice → batches of records. Uses the network, never the database."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import PageTokenRefused
from tasks.http.paging import Page
from tasks.ingest.batches import Extracted, write_batches
from tasks.ingest.read_records import Record, RecordReader
from tasks.window import EPOCH

log = logging.getLogger("attachment_alerts.ingest")

FRAME_ROWS = 2_000  # enough that the overhead of a frame is small, few enough for the processor's cache


def extract(fetch_pages: Callable[[], Iterator[Page[Record]]], reader: RecordReader, scratch: Path) -> Extracted:
    """Fetch every page of the slice, or raise an exception.

    Adds to the vendor's fields: fetched_at (when the record's page was requested) and place (in the slice's answers).
    If a page token is refused, the slice is restarted once. If it is refused again after an empty page, that page was
    the last one.
    """
    try:
        return _fetch(fetch_pages(), reader, scratch)
    except PageTokenRefused as refused:
        log.warning("the slice is restarted: %s", refused)
        shutil.rmtree(scratch, ignore_errors=True)
        return _fetch(_until_refused(fetch_pages()), reader, scratch)


def _until_refused(pages: Iterator[Page[Record]]) -> Iterator[Page[Record]]:
    """The pages until a token is refused after an empty page, which then is the end."""
    empty: Page[Record] | None = None
    try:
        for page in pages:
            if empty:
                yield empty
            empty = None if page.records else page
            if page.records:
                yield page
    except PageTokenRefused as refused:
        if empty is None:
            raise
        log.warning("The listing ended with an empty page and a page token that is refused: %s", refused)
        empty = replace(empty, empty_tail=True)
    if empty:
        yield empty


def _fetch(pages: Iterator[Page[Record]], reader: RecordReader, scratch: Path) -> Extracted:
    started_at = datetime.now(UTC)
    seen: list[tuple[int, int | None, bool]] = []

    def counted() -> Iterator[Page[Record]]:
        for page in pages:
            seen.append((len(page.records), page.total, page.empty_tail))
            yield page

    records = write_batches(_frames(counted(), reader), scratch)
    counts, totals, tails = zip(*seen, strict=True) if seen else ((), (), ())
    known = [total for total in totals if total is not None]
    return Extracted(records, started_at, len(seen), sum(counts), known[-1] if known else None, any(tails))


def _frames(pages: Iterable[Page[Record]], reader: RecordReader) -> Iterator[pl.DataFrame]:
    place = rows = 0
    pending: list[Page[Record]] = []
    for page in pages:
        pending.append(page)
        rows += len(page.records)
        if rows >= FRAME_ROWS:
            yield _to_frame(pending, reader, place)
            place, rows, pending = place + rows, 0, []
    if pending:
        yield _to_frame(pending, reader, place)


def _to_frame(pages: list[Page[Record]], reader: RecordReader, place: int) -> pl.DataFrame:
    """One frame of these pages, with the columns that order the readings of a scan."""
    requested = [(page.requested_at - EPOCH) // timedelta(microseconds=1) for page in pages]
    requested_at = pl.Series("fetched_at", requested, pl.Int64).cast(MOMENT)
    fetched_at = pl.concat(requested_at.new_from_index(number, len(page.records)) for number, page in enumerate(pages))
    records = reader.to_frame([record for page in pages for record in page.records])
    return records.with_row_index("place", place).hstack([fetched_at])
