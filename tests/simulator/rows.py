"""Rows of simulated records, the query of a listing, and the interface of a stock of rows."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple, Protocol

ALWAYS = -(2**62)  # always visible


class Row(NamedTuple):
    """One record with the times that decide when it is delivered, and how (epoch seconds, UTC)."""

    when: int | None  # None: it has no valid date and is in every window
    visible_from: int
    record: Any
    changes: tuple[tuple[int, Mapping[str, str]], ...] = ()  # since when, which fields have other values

    def seen_at(self, now: int) -> Any:
        """The record as the service shows it at `now`."""
        if not self.changes:
            return self.record
        due = [fields for since, fields in self.changes if since <= now]
        record = dict(self.record)
        for fields in due:
            record.update(fields)
        return record


@dataclass(frozen=True)
class Query:
    """The query of a listing: both ends inclusive, in the state of `as_of` (epoch seconds)."""

    first: int
    last: int
    as_of: int
    oldest_first: bool = True
    route: str = "all"
    result: str = "all"

    @property
    def unfiltered(self) -> bool:
        return self.route == "all" and self.result == "all"

    def matches(self, rows: list[Row], offsets: range) -> list[int]:
        """Those of `offsets` whose rows belong to the listing, in the same order."""
        first, last, as_of = self.first, self.last, self.as_of
        in_time = [
            offset
            for offset in offsets
            if (row := rows[offset]).visible_from <= as_of and (row.when is None or first <= row.when <= last)
        ]
        return in_time if self.unfiltered else [o for o in in_time if self._passes_filters(rows[o])]

    def count(self, rows: list[Row]) -> int:
        return len(self.matches(rows, range(len(rows))))

    def _passes_filters(self, row: Row) -> bool:
        record = row.seen_at(self.as_of)
        if not isinstance(record, dict):
            return False
        asked = (("route", self.route), ("result", self.result))
        return all(value in ("all", str(record.get(field)).lower()) for field, value in asked)


class Stock(Protocol):
    """A store of rows in numbered buckets, each sorted by date; a bucket's content never changes."""

    def buckets(self, query: Query) -> range:
        """The buckets that can hold rows of the query, oldest first."""
        ...

    def rows(self, bucket: int) -> list[Row]: ...

    def count(self, query: Query) -> int | None:
        """Number of rows of the query; None if counting would require generating them all."""
        ...


def seeded(*parts: int | str) -> Random:
    """A generator that depends on `parts` alone; use only `random()`, which no Python version changes."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))  # noqa: S311 - fictitious mail, not secrets


def epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def date_text(when: int) -> str:
    """A date as the vendor writes it in records."""
    day, second = divmod(when, 86_400)
    minutes, second = divmod(second, 60)
    return f"{_day_text(day)}T{minutes // 60:02}:{minutes % 60:02}:{second:02}+0000"


@lru_cache(maxsize=64)
def _day_text(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"


def parse_date(text: object) -> int | None:
    """Epoch seconds of any date form that clients are known to send; None for any other text."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    return epoch(moment)
