"""Accepted records → scans in our words (SCAN_SCHEMA)."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import polars as pl

from tasks.alerts import SCAN_SCHEMA, Distinct, scan_id
from tasks.errors import DatesIgnored
from tasks.formatting import stretch
from tasks.ingest.batches import Batches, Transformed, write_batches
from tasks.mimecast.validate import raw_record, read_dates
from tasks.priority import Maps, prioritise, respond
from tasks.settings import Settings
from tasks.window import Slice

ROUTES = ["inbound", "outbound", "internal", "external"]

TEXTS = {
    "response": "actionTriggered",
    "file_name": "fileName",
    "file_type": "fileType",
    "subject": "subject",
    "message_id": "messageId",
    "definition": "definition",
}


def transform(
    records: Batches,
    scratch: Path,
    piece: Slice,
    connector_id: UUID,
    maps: Maps,
    settings: Settings,
) -> Transformed:
    """Turn accepted records into scans; takes the records.

    Raises DatesIgnored when rows came and every one of them lies outside the slice. No row is dropped for its date.
    """
    unseen: set[str] = set()
    accepted = low = outside = 0
    newest: datetime | None = None

    def scans() -> Iterator[pl.DataFrame]:
        nonlocal accepted, low, outside, newest
        for batch in records.taken():
            rows, words = to_scans(batch, connector_id, maps, keep_low=settings.keep_low == "full")
            unseen.update(words)
            accepted += len(rows)
            low += int((rows["priority"] == "low").sum())
            # The service may read `to` as inclusive: a row exactly at the end is not outside.
            outside += len(rows) - int(rows["detected_at"].is_between(piece.start, piece.end).sum())
            newest = max(filter(None, (newest, rows["detected_at"].max())), default=None)
            yield rows

    written = write_batches(scans(), scratch)
    if accepted and outside == accepted:
        raise DatesIgnored(
            f"All {accepted} records of {stretch(piece.start, piece.end)} UTC are dated outside of it: "
            "the service ignored the dates asked for. The slice does not count as fetched; the next run tries again."
        )
    return Transformed(written, accepted, low, outside, newest, tuple(sorted(unseen)))


def to_scans(batch: pl.DataFrame, connector_id: UUID, maps: Maps, *, keep_low: bool) -> tuple[pl.DataFrame, set[str]]:
    """One batch as scans, and the verdicts, actions and routes never seen."""
    rows = _our_words(read_dates(batch), connector_id)
    rows, verdicts = prioritise(rows, maps)
    rows, actions = respond(rows, maps)
    routes = rows["route"].drop_nulls().unique()
    odd_routes = routes.filter(~routes.is_in(ROUTES)).to_list()
    rows = _with_raw(rows, batch, keep_low=keep_low)
    words = {("verdict", word) for word in verdicts} | {("action", word) for word in actions}
    words |= {("route", word) for word in odd_routes}
    return rows.select(list(SCAN_SCHEMA)).cast(SCAN_SCHEMA), {f"{kind}: {word}" for kind, word in words}


def _our_words(batch: pl.DataFrame, connector_id: UUID) -> pl.DataFrame:
    """Vendor fields by our names, normalised; empty becomes null."""
    few = {name: Distinct(batch[name]) for name in (*SAID_OFTEN, "detected_at")}
    identity = scan_id(
        connector_id.hex,
        batch["messageId"],
        few["senderAddress"],
        few["recipientAddress"],
        batch["fileName"],
        few["fileHash"],
        few["detected_at"],
    )
    return batch.with_columns(
        identity.alias("scan_id"),
        *(_filled(pl.col(theirs)).alias(ours) for ours, theirs in TEXTS.items()),
        *(few[theirs].made(make).alias(ours) for theirs, makes in SAID_OFTEN.items() for ours, make in makes.items()),
    )


def _filled(text: pl.Expr) -> pl.Expr:
    """Trimmed text; missing, null and empty are one."""
    trimmed = text.str.strip_chars()
    return pl.when(trimmed != "").then(trimmed)


def _lower(text: pl.Expr) -> pl.Expr:
    return _filled(text).str.to_lowercase()


def _sha256(text: pl.Expr) -> pl.Expr:
    """Anything else is no usable hash."""
    return pl.when(_lower(text).str.contains("^[0-9a-f]{64}$")).then(_lower(text))


def _address(text: pl.Expr) -> pl.Expr:
    """Lower case, without angle brackets. `<>` alone stays: it is the null sender of bounces."""
    address = _lower(text)
    inner = address.str.strip_prefix("<").str.strip_suffix(">").str.strip_chars()
    bracketed = address.str.starts_with("<") & address.str.ends_with(">") & (inner != "")
    return pl.when(bracketed).then(inner).otherwise(address)


def _details(text: pl.Expr) -> pl.Expr:
    """`Safe` padded to 50 characters, a line end, `Time taken: 0 hrs, 0 min, 3 sec`: without the time."""
    return _filled(text.str.replace(r"(?s)\s*Time taken:.*$", ""))


def _scan_seconds(text: pl.Expr) -> pl.Expr:
    # At most five digits: their sum in seconds still fits the column.
    took = text.str.extract_groups(r"Time taken:\s*(\d{1,5}) hrs?,\s*(\d{1,5}) mins?,\s*(\d{1,5}) secs?")
    hours, minutes, seconds = (took.struct[place].cast(pl.Int32) for place in range(3))
    return hours * 3600 + minutes * 60 + seconds


SAID_OFTEN: dict[str, dict[str, Callable[[pl.Expr], pl.Expr]]] = {
    "result": {"verdict": lambda text: _lower(text).fill_null("missing")},
    "route": {"route": _lower},
    "fileHash": {"file_sha256": _sha256},
    "senderAddress": {"sender": _address},
    "recipientAddress": {"recipient": _address},
    "details": {"details": _details, "scan_seconds": _scan_seconds},
}
"""Vendor fields with few distinct texts in a batch, and the columns they become by more than trimming."""


def _with_raw(rows: pl.DataFrame, batch: pl.DataFrame, *, keep_low: bool) -> pl.DataFrame:
    """Keep the vendor's record, from the untouched batch, of what raises an alert (design: Privacy)."""
    kept = batch if keep_low else batch.filter(rows["priority"] != "low")
    return rows.drop("raw").join(kept.select("place", raw=raw_record()), on="place", how="left", maintain_order="left")
