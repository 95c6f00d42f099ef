"""Describes a product's records: fields, dates, identity, and the columns of a scan that the fields become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from tasks.ingest.read_records import RecordReader

Normalise = Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True)
class RecordFormat:
    """`plain` and `repeated` together list every column of a scan that comes from a field."""

    reader: RecordReader
    date: str
    """the field with the date"""
    date_formats: tuple[str, ...]
    """every known format; the first is the service's own"""
    oldest: datetime
    """no valid record is older"""
    identifying: Mapping[str, str]
    """fields of which at least one must be filled → their names in messages"""
    characteristic: Mapping[str, str]
    """fields of which every record of this schema has at least one → their names in messages"""
    routes: tuple[str, ...]
    plain: Mapping[str, str]
    """column → field, which is trimmed"""
    repeated: Mapping[str, Mapping[str, Normalise]]
    """field with few distinct texts in a batch → the columns it becomes, each with its normalisation"""

    def field_of(self, column: str) -> str:
        """The field of a column."""
        repeated = {name: field for field, columns in self.repeated.items() for name in columns}
        return (repeated | dict(self.plain))[column]


def trimmed(text: pl.Expr) -> pl.Expr:
    """Trimmed text; empty becomes null."""
    stripped = text.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def lower_case(text: pl.Expr) -> pl.Expr:
    return trimmed(text).str.to_lowercase()


def sha256(text: pl.Expr) -> pl.Expr:
    """The hash in lower case; null unless it is a SHA-256."""
    return pl.when(lower_case(text).str.contains("^[0-9a-f]{64}$")).then(lower_case(text))


def mail_address(text: pl.Expr) -> pl.Expr:
    """Lower case, without angle brackets. `<>` alone is kept: it is the null sender of bounces."""
    address = lower_case(text)
    inner = address.str.strip_prefix("<").str.strip_suffix(">").str.strip_chars()
    bracketed = address.str.starts_with("<") & address.str.ends_with(">") & (inner != "")
    return pl.when(bracketed).then(inner).otherwise(address)
