"""Rejects read again by today's code: the records they are kept as become scans, or are rejected still."""

from datetime import datetime
from uuid import UUID

import polars as pl

from tasks.ingest.batches import Again, without
from tasks.ingest.record_format import RecordFormat
from tasks.ingest.transform import to_scans
from tasks.ingest.validate import faults
from tasks.priority import Maps


def read_again(
    rejects: pl.DataFrame, record_format: RecordFormat, connector_id: UUID, maps: Maps, now: datetime, *, keep_low: bool
) -> Again:
    """What the connector's rejects (REJECT_SCHEMA) are today: scans of those that are records after all."""
    places = pl.Series("place", range(len(rejects)), dtype=pl.Int64)
    records = record_format.reader.stored(rejects["raw"]).hstack([rejects["fetched_at"], places])
    bad = faults(records, record_format, now)["index"]
    scans, _ = to_scans(without(records, bad), record_format, connector_id, maps, keep_low=keep_low)
    return Again(scans, without(rejects.select("reject_id"), bad)["reject_id"])
