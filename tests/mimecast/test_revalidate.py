"""Rejects read again: what was rejected for a reason that holds no more becomes a scan."""

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

READ = datetime(2026, 3, 1, 12, tzinfo=UTC)
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
            "reason": "of yesterday",
            "raw": each if isinstance(each, str) else json.dumps(each, sort_keys=True),
            "dangerous": False,
            "fetched_at": READ,
        }
        for number, each in enumerate(records)
    ]
    return pl.DataFrame(rows, REJECT_SCHEMA)


def test_records_that_are_accepted_today_become_scans_of_the_time_they_were_read() -> None:
    bad = rejects(
        "5", RECORD, RECORD | {"date": "soon"}, RECORD | {"subject": ["x"]}, "1e999", RECORD | {"new": "field"}
    )
    again = revalidate(bad, RECORDS, UUID(int=1), MAPS, READ, keep_low=False)
    assert again.reject_ids.to_list() == [f"{number:032x}" for number in (1, 5)]
    assert again.scans.schema == SCAN_SCHEMA
    assert again.scans["fetched_at"].to_list() == [READ] * 2
    first = again.scans.row(0, named=True)
    assert (first["sender"], first["priority"], first["place"]) == ("eve@evil.example", "high", 1)
    assert json.loads(first["raw"]) == RECORD


def test_nothing_to_read_is_no_scan() -> None:
    again = revalidate(rejects(), RECORDS, UUID(int=1), MAPS, READ, keep_low=False)
    assert (again.scans.height, len(again.reject_ids)) == (0, 0)
