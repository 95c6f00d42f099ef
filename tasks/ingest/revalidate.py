"""Validates stored rejects again with the present rules."""

from datetime import datetime
from uuid import UUID

import polars as pl

from tasks.ingest.batches import Revalidated, drop_rows
from tasks.ingest.record_format import RecordFormat
from tasks.ingest.transform import to_scans
from tasks.ingest.validate import find_faults
from tasks.priority import Maps


def revalidate(
    rejects: pl.DataFrame, record_format: RecordFormat, connector_id: UUID, maps: Maps, now: datetime, *, keep_low: bool
) -> Revalidated:
    """Scans of those of a connector's rejects (REJECT_SCHEMA) that the present rules accept."""
    places = pl.Series("place", range(len(rejects)), dtype=pl.Int64)
    records = record_format.reader.read_stored(rejects["raw"]).hstack([rejects["fetched_at"], places])
    bad = find_faults(records, record_format, now)["index"]
    scans, _ = to_scans(drop_rows(records, bad), record_format, connector_id, maps, keep_low=keep_low)
    return Revalidated(scans, drop_rows(rejects.select("reject_id"), bad)["reject_id"])
