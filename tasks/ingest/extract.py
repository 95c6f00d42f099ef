"""Pages of a slice → batches of records in scratch files. Asks the network, never the database."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import PageTokenRefused
from tasks.http.paging import Page
from tasks.ingest.batches import Extracted, write_batches
from tasks.ingest.read_records import Record, RecordReader

log = logging.getLogger("attachment_alerts.ingest")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FRAME_ROWS = (
    2_000  # rows that become a frame: what a frame costs is small then, and they still fit the processor's cache
)


def extract(ask: Callable[[], Iterator[Page[Record]]], reader: RecordReader, scratch: Path) -> Extracted:
    """Fetch every page of the slice that `ask` begins; an exception where one is missing.

    Adds to the vendor's fields: fetched_at (when the record's page was requested) and place (in the slice's answers).
    A page token that is refused in the middle starts the slice again, once.
    """
    try:
        return _fetch(ask(), reader, scratch)
    except PageTokenRefused as refused:
        log.warning("the slice is fetched again from its start: %s", refused)
        shutil.rmtree(scratch, ignore_errors=True)
        return _fetch(ask(), reader, scratch)


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
    held: list[Page[Record]] = []
    for page in pages:
        held.append(page)
        rows += len(page.records)
        if rows >= FRAME_ROWS:
            yield _to_frame(held, reader, place)
            place, rows, held = place + rows, 0, []
    if held:
        yield _to_frame(held, reader, place)


def _to_frame(pages: list[Page[Record]], reader: RecordReader, place: int) -> pl.DataFrame:
    """One frame of these pages, with what orders the readings of one scan."""
    asked = [(page.requested_at - EPOCH) // timedelta(microseconds=1) for page in pages]
    moments = pl.Series("fetched_at", asked, pl.Int64).cast(MOMENT)
    fetched_at = pl.concat(moments.new_from_index(number, len(page.records)) for number, page in enumerate(pages))
    records = reader.frame([record for page in pages for record in page.records])
    return records.with_row_index("place", place).hstack([fetched_at])
