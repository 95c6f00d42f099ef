"""Accepted records → scans (SCAN_SCHEMA)."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import polars as pl

from tasks.alerts import SCAN_SCHEMA, Distinct, scan_id
from tasks.errors import DatesIgnored
from tasks.formatting import format_period
from tasks.ingest.batches import Batches, Transformed, write_batches
from tasks.ingest.record_format import RecordFormat, trimmed
from tasks.ingest.validate import raw_record, read_dates
from tasks.priority import Maps, prioritise, respond
from tasks.settings import Settings
from tasks.window import Slice

PAGE_ROWS = 10
"""records of a page from which on their dates show that the requested ones were ignored"""


def transform(
    records: Batches,
    record_format: RecordFormat,
    scratch: Path,
    slice_: Slice,
    connector_id: UUID,
    maps: Maps,
    settings: Settings,
) -> Transformed:
    """Convert accepted records to scans.

    Raises DatesIgnored if there are records and all of them are outside the slice, or all of a page by more than the
    overlap. No record is dropped for its date.
    """
    unseen: set[str] = set()
    accepted = low = outside = 0
    newest: datetime | None = None
    pages: list[pl.DataFrame] = []

    def scans() -> Iterator[pl.DataFrame]:
        nonlocal accepted, low, outside, newest
        for batch in records:
            rows, unknown = to_scans(batch, record_format, connector_id, maps, keep_low=settings.keep_low == "full")
            unseen.update(unknown)
            accepted += len(rows)
            low += int((rows["priority"] == "low").sum())
            # The service may include the end of the slice: a row exactly there is not outside.
            outside += len(rows) - int(rows["detected_at"].is_between(slice_.start, slice_.end).sum())
            pages.append(_count_by_page(rows, slice_, settings))
            newest = max(filter(None, (newest, rows["detected_at"].max())), default=None)
            yield rows

    written = write_batches(scans(), scratch)
    if accepted and outside == accepted:
        raise DatesIgnored(
            f"All {accepted} records of {format_period(slice_.start, slice_.end)} UTC have dates outside of it: "
            "the service ignored the requested dates. The slice is not covered; the next run fetches it again."
        )
    _check_pages(pages, slice_)
    return Transformed(written, accepted, low, outside, newest, tuple(sorted(unseen)))


def _count_by_page(rows: pl.DataFrame, slice_: Slice, settings: Settings) -> pl.DataFrame:
    """Rows of each page, and those of them that are in the slice or within the overlap of it."""
    near = pl.col("detected_at").is_between(slice_.start - settings.overlap, slice_.end + settings.overlap)
    # The rows of a page have the time of its request.
    return rows.group_by("fetched_at").agg(rows=pl.len(), near=near.sum())


def _check_pages(pages: list[pl.DataFrame], slice_: Slice) -> None:
    """Raises DatesIgnored for a page that cannot be an answer to the request."""
    if not pages:
        return
    counts = pl.concat(pages).group_by("fetched_at").sum()
    foreign = counts.filter(pl.col("near") == 0, pl.col("rows") >= PAGE_ROWS)
    if not foreign.is_empty():
        raise DatesIgnored(
            f"{len(foreign)} of {len(counts)} pages of {format_period(slice_.start, slice_.end)} UTC have only records "
            "of other times: the service ignored the requested dates. The slice is not covered; the next run fetches "
            "it again."
        )


def to_scans(
    batch: pl.DataFrame, record_format: RecordFormat, connector_id: UUID, maps: Maps, *, keep_low: bool
) -> tuple[pl.DataFrame, set[str]]:
    """One batch as scans, and its unknown verdicts, actions and routes."""
    rows = _to_columns(read_dates(batch, record_format), record_format, connector_id)
    rows, verdicts = prioritise(rows, maps)
    rows, actions = respond(rows, maps)
    routes = rows["route"].drop_nulls().unique()
    unknown_routes = routes.filter(~routes.is_in(list(record_format.routes))).to_list()
    rows = _add_raw(rows, batch, record_format, keep_low=keep_low)
    unknown = {("verdict", verdict) for verdict in verdicts} | {("action", action) for action in actions}
    unknown |= {("route", route) for route in unknown_routes}
    return rows.select(list(SCAN_SCHEMA)).cast(SCAN_SCHEMA), {f"{kind}: {value}" for kind, value in unknown}


def _to_columns(batch: pl.DataFrame, record_format: RecordFormat, connector_id: UUID) -> pl.DataFrame:
    """Convert the vendor's fields to columns of a scan, normalised; empty becomes null."""
    distinct = {name: Distinct(batch[name]) for name in (*record_format.repeated, "detected_at")}
    identity = scan_id(
        connector_id.hex,
        batch[record_format.field_of("message_id")],
        distinct[record_format.field_of("sender")],
        distinct[record_format.field_of("recipient")],
        batch[record_format.field_of("file_name")],
        distinct[record_format.field_of("file_sha256")],
        distinct["detected_at"],
    )
    return batch.with_columns(
        identity.alias("scan_id"),
        *(trimmed(pl.col(field)).alias(column) for column, field in record_format.plain.items()),
        *(
            distinct[field].map(normalise).alias(column)
            for field, columns in record_format.repeated.items()
            for column, normalise in columns.items()
        ),
    )


def _add_raw(rows: pl.DataFrame, batch: pl.DataFrame, record_format: RecordFormat, *, keep_low: bool) -> pl.DataFrame:
    """Add the vendor's record, from the original batch, to scans that raise an alert."""
    kept = batch if keep_low else batch.filter(rows["priority"] != "low")
    raw = kept.select("place", raw=raw_record(record_format))
    return rows.drop("raw").join(raw, on="place", how="left", maintain_order="left")
