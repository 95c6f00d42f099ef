"""Saved answers of the simulator, so that neither HTTP nor the making of records is measured."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from tasks.window import Slice
from tests.simulator import World
from tests.simulator.rows import Query, epoch

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
PAGE_ROWS = 500


def slice_of(number: int) -> Slice:
    """The numbered slice: six busy hours of a working day."""
    start = START + timedelta(days=number + 2 * (number // 5), hours=9)
    return Slice(start, start + timedelta(hours=6), "poll")


def save(folder: Path, slices: int, rows_per_slice: int) -> int:
    """Write the answers of each slice to one file; returns the number of records."""
    return sum(save_slice(folder, number, rows_per_slice) for number in range(slices))


def save_slice(folder: Path, number: int, rows_per_slice: int, again: int = 0) -> int:
    """Write the answers of one slice, before them so many last ones of the slice before: the overlap of a poll."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _records(number - 1, rows_per_slice)[-again:] if again else []
    records = before + _records(number, rows_per_slice)
    with path_of(folder, number).open("wb") as file:
        for begin in range(0, len(records), PAGE_ROWS):
            body = msgspec.json.encode(
                {
                    "meta": {"status": 200, "pagination": {"pageSize": PAGE_ROWS, "totalCount": len(records)}},
                    "data": [{"attachmentLogs": records[begin : begin + PAGE_ROWS]}],
                    "fail": [],
                }
            )
            file.write(len(body).to_bytes(4) + body)
    return len(records)


def _records(number: int, rows: int) -> list[Any]:
    """One service for all slices: the same files come again."""
    slice_ = slice_of(number)
    world = World(seed=3, per_day=4 * rows)
    query = Query(epoch(slice_.start), epoch(slice_.end) - 1, as_of=2**40)
    records = [row.seen_at(query.as_of) for bucket in world.stock.buckets(query) for row in world.stock.rows(bucket)]
    return records[:rows]


def path_of(folder: Path, number: int) -> Path:
    return folder / f"{number:03}.pages"


def answers(path: Path) -> Iterator[bytes]:
    """The answers of one saved slice, in order."""
    with path.open("rb") as file:
        while size := file.read(4):
            yield file.read(int.from_bytes(size))
