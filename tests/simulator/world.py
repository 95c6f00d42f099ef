"""A world: all records of an account, and how a listing is divided into pages."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, Self

from tests.simulator.demo import demo_rows
from tests.simulator.generated import GeneratedStock
from tests.simulator.listed import ListedStock, row_of
from tests.simulator.rows import Query, Row, Stock, epoch

_CHUNK = 512  # rows that are filtered at a time


def utc_now() -> datetime:
    return datetime.now(UTC)


class Position(NamedTuple):
    """A place in a listing; `offset` counts from the side at which the listing begins."""

    bucket: int
    offset: int


@dataclass(frozen=True)
class Listing:
    """One page of a listing: JSON values, and where the neighbouring pages begin."""

    records: list[Any]
    next: Position | None
    previous: Position | None


class World:
    """Seeded, realistic scans of any amount, generated on demand; see also `of_records` and `demo`.

    `per_day` rows in every UTC day of [start, end). A row can be seen from its date on by `clock`, a few rows
    only minutes to hours later; some verdicts and actions change after a while. Same arguments, same rows.
    """

    def __init__(
        self,
        seed: int = 7,
        per_day: int = 2_000,
        start: datetime | None = None,
        end: datetime | None = None,
        clock: Callable[[], datetime] = utc_now,
        *,
        stock: Stock | None = None,
    ) -> None:
        bounds = (epoch(edge) if edge else None for edge in (start, end))
        self.stock: Stock = stock or GeneratedStock(seed, per_day, *bounds)
        self.clock = clock

    @classmethod
    def of_records(cls, records: Iterable[Any], clock: Callable[[], datetime] = utc_now) -> Self:
        """Exactly these JSON values, visible at once; those without a valid date are in every window."""
        return cls(clock=clock, stock=ListedStock(map(row_of, records)))

    @classmethod
    def demo(cls, anchor: datetime) -> Self:
        """The demo's story, in the six days before `anchor`; always the same for the same anchor."""
        return cls(stock=ListedStock(demo_rows(epoch(anchor))))

    def add(self, records: Iterable[Any]) -> None:
        """More records of a world made by `of_records`, whatever their dates: late rows, release rows."""
        if not isinstance(self.stock, ListedStock):
            raise TypeError("only a world of given records takes more of them")
        now = epoch(self.clock())
        self.stock.add(row_of(record, visible_from=now) for record in records)

    def count(self, query: Query) -> int | None:
        return self.stock.count(query)

    def beginning(self, query: Query) -> Position | None:
        """Where a listing begins; None if it is certainly empty."""
        buckets = self.stock.buckets(query)
        if not buckets:
            return None
        return Position(buckets[0] if query.oldest_first else buckets[-1], 0)

    def page(self, query: Query, position: Position, size: int) -> Listing:
        found = list(islice(self._walk(query, position), size + 1))
        before = list(islice(self._walk(query, position, backwards=True), size))
        records = [row.seen_at(query.as_of) for _, row in found[:size]]
        after = found[size][0] if len(found) > size else None
        return Listing(records, after, before[-1][0] if before else None)

    def _walk(self, query: Query, position: Position, *, backwards: bool = False) -> Iterator[tuple[Position, Row]]:
        """Rows of the listing from a place on; backwards: the ones before it, nearest first."""
        for bucket in self._buckets(query, position, backwards):
            rows = self.stock.rows(bucket)
            rows = rows if query.oldest_first else rows[::-1]
            offsets = range(len(rows))
            if bucket == position.bucket:
                offsets = offsets[: position.offset] if backwards else offsets[position.offset :]
            offsets = offsets[::-1] if backwards else offsets
            for begin in range(0, len(offsets), _CHUNK):
                for offset in query.matches(rows, offsets[begin : begin + _CHUNK]):
                    yield Position(bucket, offset), rows[offset]

    def _buckets(self, query: Query, position: Position, backwards: bool) -> range:
        buckets = self.stock.buckets(query)
        if position.bucket not in buckets:  # a listing that began before records were added keeps its edition
            return range(position.bucket, position.bucket + 1)
        if query.oldest_first == backwards:
            buckets = buckets[::-1]
        return buckets[buckets.index(position.bucket) :]
