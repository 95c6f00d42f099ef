"""Validate rejects again: a record that is accepted now becomes a scan."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl

from tasks.alerts import REJECT_SCHEMA, SCAN_SCHEMA
from tasks.ingest.revalidate import revalidate
from tasks.mimecast.record import RECORDS
from tasks.priority import load_maps
from tasks.settings import DEFAULTS, Settings

READ_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAPS = load_maps(Settings(home=DEFAULTS))
RECORD = {
    "senderAddress": "Eve@Evil.example",
    "recipientAddress": "ann@contoso.example",
    "fileName": "a.doc",
    "fileHash": "AB" * 32,
    "result": "malicious",
    "date": "2026-03-01T10:00:00+0000",
    "messageId": "<1@evil.example>",
}


def rejects(*records: Any) -> pl.DataFrame:
    rows = [
        {
            "reject_id": f"{number:032x}",
            "reason": "an earlier rule",
            "raw": record if isinstance(record, str) else json.dumps(record, sort_keys=True),
            "dangerous": False,
            "fetched_at": READ_AT,
        }
        for number, record in enumerate(records)
    ]
    return pl.DataFrame(rows, REJECT_SCHEMA)


def test_accepted_records_become_scans_with_the_time_of_their_reading() -> None:
    bad = rejects(
        "5", RECORD, RECORD | {"date": "soon"}, RECORD | {"subject": ["x"]}, "1e999", RECORD | {"new": "field"}
    )
    accepted = revalidate(bad, RECORDS, UUID(int=1), MAPS, READ_AT, keep_low=False)
    assert accepted.reject_ids.to_list() == [f"{number:032x}" for number in (1, 5)]
    assert accepted.scans.schema == SCAN_SCHEMA
    assert accepted.scans["fetched_at"].to_list() == [READ_AT] * 2
    first = accepted.scans.row(0, named=True)
    assert (first["sender"], first["priority"], first["place"]) == ("eve@evil.example", "high", 1)
    assert json.loads(first["raw"]) == RECORD


def test_no_rejects_give_no_scans() -> None:
    accepted = revalidate(rejects(), RECORDS, UUID(int=1), MAPS, READ_AT, keep_low=False)
    assert (accepted.scans.height, len(accepted.reject_ids)) == (0, 0)
