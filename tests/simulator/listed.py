"""A stock of given records, for tests and for the demo."""

from collections.abc import Iterable
from typing import Any

from tests.simulator.rows import ALWAYS, Query, Row, parse_date


def row_of(record: Any, visible_from: int = ALWAYS) -> Row:
    """A row for any JSON value; one without a valid date belongs to every window."""
    when = parse_date(record.get("date")) if isinstance(record, dict) else None
    return Row(when, visible_from, record)


class ListedStock:
    """Given rows. Each `add` creates a new edition (bucket 0, 1, …); a listing stays with the one it began with."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._editions = [_sorted(rows)]

    def add(self, rows: Iterable[Row]) -> None:
        self._editions.append(_sorted([*self._editions[-1], *rows]))

    def buckets(self, query: Query) -> range:
        newest = len(self._editions) - 1
        return range(newest, newest + 1)

    def rows(self, bucket: int) -> list[Row]:
        return self._editions[bucket]

    def count(self, query: Query) -> int | None:
        return query.count(self._editions[-1])


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.when is None, row.when or 0))
