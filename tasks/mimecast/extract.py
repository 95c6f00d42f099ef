"""Pages of a slice → batches of records in scratch files. Asks the network, never the database."""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import PageTokenRefused
from tasks.mimecast.answer import Page
from tasks.mimecast.client import MimecastClient
from tasks.stage import Extracted, write_batches
from tasks.window import Slice

log = logging.getLogger("attachment_alerts.mimecast")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def extract(client: MimecastClient, piece: Slice, scratch: Path) -> Extracted:
    """Fetch every page of the slice; an exception where one is missing.

    Adds to the vendor's fields: fetched_at (when the record's page was requested) and place (in the slice's answers).
    A token that is refused in the middle starts the slice again, once.
    """
    try:
        return _fetch(client, piece, scratch)
    except PageTokenRefused as refused:
        log.warning("the slice is fetched again from its start: %s", refused)
        shutil.rmtree(scratch, ignore_errors=True)
        return _fetch(client, piece, scratch)


def _fetch(client: MimecastClient, piece: Slice, scratch: Path) -> Extracted:
    started_at = datetime.now(UTC)
    seen: list[tuple[int, int | None, bool]] = []

    def frames() -> Iterator[pl.DataFrame]:
        place = 0
        for page in client.pages(piece.start, piece.end):
            seen.append((len(page.records), page.total, page.empty_tail))
            yield _placed(page, place)
            place += len(page.records)

    records = write_batches(frames(), scratch)
    counts, totals, tails = zip(*seen, strict=True) if seen else ((), (), ())
    known = [total for total in totals if total is not None]
    return Extracted(records, started_at, len(seen), sum(counts), known[-1] if known else None, any(tails))


def _placed(page: Page, place: int) -> pl.DataFrame:
    """Add what orders the readings of one scan. Not by expressions or datetimes: they cost as much as the page."""
    asked = (page.requested_at - EPOCH) // timedelta(microseconds=1)
    fetched_at = pl.Series("fetched_at", [asked], pl.Int64).cast(MOMENT)
    return page.records.with_row_index("place", place).hstack([fetched_at.new_from_index(0, len(page.records))])
