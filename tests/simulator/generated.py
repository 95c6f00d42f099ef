"""Endless scans made on demand: each bucket of time is a pure function of seed and place, nothing is stored.

How many rows a stretch of time holds follows from a formula, so totals cost nothing, nor do pages deep in it.
"""

from functools import lru_cache

from tests.simulator.mails import mail_rows
from tests.simulator.oddities import maybe_odd
from tests.simulator.rows import Query, Row, date_text, seeded

_HOURLY_WEIGHTS = (1, 1, 1, 1, 1, 2, 3, 6, 9, 10, 10, 9, 7, 9, 10, 9, 8, 6, 4, 3, 2, 2, 1, 1)
_BEFORE_HOUR = tuple(sum(_HOURLY_WEIGHTS[:hour]) for hour in range(25))
_DAY_WEIGHT = _BEFORE_HOUR[24] * 3600
_BUCKET_SECONDS = (3600, 900, 300, 60, 15, 5, 1)
_BUCKET_ROWS = 1000  # approximately, per bucket: the rows generated for one page
_KEPT_BUCKETS = 16
_LATE_ONE_IN = 101
_LATE_AT_LEAST, _LATE_SPREAD = 120, 4 * 3600
_ODD_SHARE = 0.004
_COUNTABLE = 200_000  # maximum number of rows that are generated to count them, when a filter is given


class GeneratedStock:
    """Rows of every second between `start` and `end` (epoch seconds, half-open; None: unbounded)."""

    def __init__(self, seed: int, per_day: int, start: int | None, end: int | None) -> None:
        self.seed, self.per_day = seed, per_day
        self.start = start if start is not None else 0
        self.end = end if end is not None else 2**40
        self.seconds = next((s for s in _BUCKET_SECONDS if per_day * s <= 86_400 * _BUCKET_ROWS), 1)
        self.built = 0  # number of buckets generated so far
        self._kept = lru_cache(maxsize=_KEPT_BUCKETS)(self._build)

    def buckets(self, query: Query) -> range:
        first, last = self._bounds(query)
        return range(first // self.seconds, last // self.seconds + 1) if first <= last else range(0)

    def rows(self, bucket: int) -> list[Row]:
        return self._kept(bucket)

    def count(self, query: Query) -> int | None:
        buckets = self.buckets(query)
        if not query.unfiltered:
            if self._rows_in(buckets) > _COUNTABLE:
                return None
            return sum(query.count(self.rows(bucket)) for bucket in buckets)
        edges = {buckets[0], buckets[-1]} if buckets else set()
        inner = buckets[1:-1]
        at_edges = sum(query.count(self.rows(bucket)) for bucket in edges)
        return at_edges + self._rows_in(inner) - self._still_hidden(inner, query.as_of)

    def size(self, bucket: int) -> int:
        return self._rows_in(range(bucket, bucket + 1))

    def _bounds(self, query: Query) -> tuple[int, int]:
        return max(query.first, self.start), min(query.last, self.end - 1, query.as_of)

    def _rows_in(self, buckets: range) -> int:
        return self._rows_before(buckets.stop) - self._rows_before(buckets.start) if buckets else 0

    def _rows_before(self, bucket: int) -> int:
        """Rows since the epoch up to a bucket: `per_day` in every UTC day, most of them in office hours."""
        day, second = divmod(bucket * self.seconds, 86_400)
        hour, rest = divmod(second, 3600)
        weight = day * _DAY_WEIGHT + _BEFORE_HOUR[hour] * 3600 + _HOURLY_WEIGHTS[hour] * rest
        return weight * self.per_day // _DAY_WEIGHT

    def _build(self, bucket: int) -> list[Row]:
        self.built += 1
        size, rng, begin = self.size(bucket), seeded(self.seed, "bucket", bucket), bucket * self.seconds
        rows: list[Row] = []
        while len(rows) < size:
            mail = mail_rows(rng, self.seed, begin + int(rng.random() * self.seconds))
            rows += [maybe_odd(rng, row, _ODD_SHARE) for row in mail]
            if rng.random() < 0.01:
                rows.append(_release(rows[-1], begin + self.seconds - 1))
        del rows[size:]
        for place in self._late_places(bucket, size):
            rows[place] = rows[place]._replace(visible_from=self._visible_from(bucket, place))
        rows = [row for row in rows if row.when is not None and self.start <= row.when < self.end]
        return sorted(rows, key=lambda row: row.when or 0)

    def _late_places(self, bucket: int, size: int) -> range:
        return range(bucket % _LATE_ONE_IN, size, _LATE_ONE_IN)

    def _visible_from(self, bucket: int, place: int) -> int:
        """When a late row appears: minutes to hours after its bucket is over, most of them soon."""
        mixed = (bucket * 2_654_435_761 + place * 40_503 + self.seed * 97) % 65_536 / 65_536
        return (bucket + 1) * self.seconds + _LATE_AT_LEAST + int(mixed**3 * _LATE_SPREAD)

    def _still_hidden(self, buckets: range, as_of: int) -> int:
        """Late rows of whole buckets that are not visible yet, counted without generating them."""
        horizon = (as_of - _LATE_AT_LEAST - _LATE_SPREAD) // self.seconds - 1
        recent = range(max(buckets.start, horizon), buckets.stop)
        return sum(
            self._visible_from(bucket, place) > as_of
            for bucket in recent
            for place in self._late_places(bucket, self.size(bucket))
        )


def _release(row: Row, latest: int) -> Row:
    """A person released the mail: the vendor may write a second row for the same file."""
    when = min((row.when or 0) + 600, latest)
    record = row.record | {"actionTriggered": "user release, none", "date": date_text(when)}
    return Row(when, when, record)
