"""What a product says of its records: their fields, dates and identity, and what becomes of them in our words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from tasks.ingest.read_records import RecordReader

Normalise = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class RecordFormat:
    """One product's records. `plain` and `repeated` together name every column of a scan that comes from a field."""

    reader: RecordReader
    date: str
    """the field that says when"""
    date_forms: tuple[str, ...]
    """in every form seen in use; the first is the service's own"""
    oldest: datetime
    """no record is older"""
    identifying: Mapping[str, str]
    """fields of which one must be filled, and what people call them"""
    routes: tuple[str, ...]
    plain: Mapping[str, str]
    """column → field, trimmed"""
    repeated: Mapping[str, Mapping[str, Normalise]]
    """field with few distinct texts in a batch → the columns it becomes, and how"""

    def field_of(self, column: str) -> str:
        """The field that a column comes from."""
        repeated = {ours: theirs for theirs, columns in self.repeated.items() for ours in columns}
        return (repeated | dict(self.plain))[column]


def trimmed(text: pl.Expr) -> pl.Expr:
    """Trimmed text; missing, null and empty are one."""
    stripped = text.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def lower_case(text: pl.Expr) -> pl.Expr:
    return trimmed(text).str.to_lowercase()


def sha256(text: pl.Expr) -> pl.Expr:
    """Anything else is no usable hash."""
    return pl.when(lower_case(text).str.contains("^[0-9a-f]{64}$")).then(lower_case(text))


def mail_address(text: pl.Expr) -> pl.Expr:
    """Lower case, without angle brackets. `<>` alone stays: it is the null sender of bounces."""
    address = lower_case(text)
    inner = address.str.strip_prefix("<").str.strip_suffix(">").str.strip_chars()
    bracketed = address.str.starts_with("<") & address.str.ends_with(">") & (inner != "")
    return pl.when(bracketed).then(inner).otherwise(address)
