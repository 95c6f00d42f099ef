"""The record of Mimecast's attachment-protection log, and the columns that its fields become."""

from datetime import UTC, datetime

import polars as pl

from tasks.ingest.read_records import RecordReader
from tasks.ingest.record_format import RecordFormat, lower_case, mail_address, sha256, trimmed

RECORD_FIELDS = (
    "senderAddress",
    "recipientAddress",
    "fileName",
    "fileType",
    "fileHash",
    "result",
    "actionTriggered",
    "date",
    "details",
    "route",
    "messageId",
    "subject",
    "definition",
)


def details_text(text: pl.Expr) -> pl.Expr:
    """The details without the time: `Safe` padded to 50 characters, a line end, `Time taken: 0 hrs, 0 min, 3 sec`."""
    return trimmed(text.str.replace(r"(?s)\s*Time taken:.*$", ""))


def scan_seconds(text: pl.Expr) -> pl.Expr:
    # At most five digits: their sum in seconds still fits the column.
    duration = text.str.extract_groups(r"Time taken:\s*(\d{1,5}) hrs?,\s*(\d{1,5}) mins?,\s*(\d{1,5}) secs?")
    hours, minutes, seconds = (duration.struct[place].cast(pl.Int32) for place in range(3))
    return hours * 3600 + minutes * 60 + seconds


RECORDS = RecordFormat(
    reader=RecordReader(RECORD_FIELDS),
    date="date",
    date_formats=("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"),
    oldest=datetime(2003, 1, 1, tzinfo=UTC),  # before the service existed
    identifying={
        "recipientAddress": "recipient",
        "fileHash": "hash",
        "fileName": "file name",
        "messageId": "message id",
    },
    characteristic={"result": "verdict", "recipientAddress": "recipient", "senderAddress": "sender"},
    routes=("inbound", "outbound", "internal", "external"),
    plain={
        "response": "actionTriggered",
        "file_name": "fileName",
        "file_type": "fileType",
        "subject": "subject",
        "message_id": "messageId",
        "definition": "definition",
    },
    repeated={
        "result": {"verdict": lambda text: lower_case(text).fill_null("missing")},
        "route": {"route": lower_case},
        "fileHash": {"file_sha256": sha256},
        "senderAddress": {"sender": mail_address},
        "recipientAddress": {"recipient": mail_address},
        "details": {"details": details_text, "scan_seconds": scan_seconds},
    },
)
