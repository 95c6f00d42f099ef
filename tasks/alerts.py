"""Schemas of scans and rejects between the stages transform and load, and the identity of a scan."""

from collections.abc import Callable

import polars as pl
import polars_hash  # noqa: F401 - adds the `chash` namespace to expressions

MOMENT = pl.Datetime("us", "UTC")

SCAN_SCHEMA = pl.Schema(
    {
        "scan_id": pl.String(),  # 32 hex digits
        "detected_at": MOMENT,  # in whole seconds, as in the identity
        "verdict": pl.String(),
        "dangerous": pl.Boolean(),
        "priority": pl.String(),
        "priority_rank": pl.Int8(),
        "priority_rule": pl.String(),
        "sub_classification": pl.String(),
        "response": pl.String(),
        "disposition": pl.String(),
        "file_sha256": pl.String(),
        "file_name": pl.String(),
        "file_type": pl.String(),
        "sender": pl.String(),
        "recipient": pl.String(),
        "subject": pl.String(),
        "message_id": pl.String(),
        "route": pl.String(),
        "definition": pl.String(),
        "details": pl.String(),
        "scan_seconds": pl.Int32(),
        "raw": pl.String(),
        "fetched_at": MOMENT,  # when the page was requested: the latest reading wins
        "place": pl.Int64(),  # place in the answers of the slice: decides within a page
    }
)

REJECT_SCHEMA = pl.Schema(
    {
        "reject_id": pl.String(),  # 32 hex digits
        "reason": pl.String(),
        "raw": pl.String(),
        "dangerous": pl.Boolean(),
        "fetched_at": MOMENT,
    }
)

# Columns that a later reading of the same record may change; the others are its identity.
MUTABLE = (
    "verdict",
    "response",
    "file_type",
    "subject",
    "route",
    "definition",
    "details",
    "scan_seconds",
)

# Stored for scans that raise no alert only if the site wants it.
PRIVATE = ("subject", "details", "raw")

PRIORITY_COLUMNS = ("priority", "priority_rank", "priority_rule", "sub_classification")

LEVELS = {"low": 0, "medium": 1, "high": 2}


class Distinct:
    """A column by its distinct values: most columns of a batch have few of them, and each is processed once."""

    def __init__(self, values: pl.Series) -> None:
        rows = values.alias("value").to_frame()
        self._values = rows.unique().with_row_index("place")
        places = rows.join(self._values, on="value", how="left", nulls_equal=True, maintain_order="left")
        self._places = places["place"]

    def map(self, convert: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
        """The column with each value converted."""
        return self._values.select(converted=convert(pl.col("value")))["converted"].gather(self._places)


def scan_id(
    connector_id: str,
    message_id: pl.Series,
    sender: Distinct,
    recipient: Distinct,
    file_name: pl.Series,
    file_hash: Distinct,
    date: Distinct,
) -> pl.Series:
    """Identity of scans. Texts as the vendor sent them; `date` is a UTC datetime.

    Normalised here and nowhere else: blanks trimmed, addresses and hash lower-cased, date as epoch seconds.
    """

    def trimmed(text: pl.Expr) -> pl.Expr:
        return _prefixed(text.str.strip_chars())

    def lowered(text: pl.Expr) -> pl.Expr:
        return trimmed(text.str.to_lowercase())

    rows = pl.DataFrame({"message_id": message_id, "file_name": file_name})
    parts = rows.with_columns(
        trimmed(pl.col("message_id")),
        trimmed(pl.col("file_name")),
        sender.map(lowered).alias("sender"),
        recipient.map(lowered).alias("recipient"),
        file_hash.map(lowered).alias("file_hash"),
        date.map(lambda moment: _prefixed(moment.dt.epoch("s"))).alias("date"),
    )
    order = ("message_id", "sender", "recipient", "file_name", "file_hash", "date")
    return parts.select(_digest([_prefixed(pl.lit(connector_id)), *map(pl.col, order)])).to_series()


def fingerprint(parts: list[pl.Expr]) -> pl.Expr:
    """First 128 bits of SHA-256 over `parts`, each with its length in bytes before it, as 32 hex digits.

    The lengths keep ("ab", "c") and ("a", "bc") apart. Null counts as empty.
    """
    return _digest([_prefixed(part) for part in parts])


def _prefixed(part: pl.Expr) -> pl.Expr:
    text = part.cast(pl.String).fill_null("")
    return pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text)


def _digest(prefixed: list[pl.Expr]) -> pl.Expr:
    digest: pl.Expr = pl.concat_str(prefixed).chash.sha2_256()  # type: ignore[attr-defined]
    return digest.str.slice(0, 32)
