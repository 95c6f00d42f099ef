"""What the stages of any connector hand to each other: batches of at most 50,000 rows.

The last batch of a slice, nearly always its only one, stays in memory; the others wait in scratch files, which keeps
memory independent of the length of a window and of bursts inside a slice. Files are scratch of one run and removed
with it; they are never a checkpoint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import polars as pl

BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Batches:
    """Frames of equal columns, in order."""

    parts: tuple[Path | pl.DataFrame, ...] = ()
    left_out: tuple[pl.Series, ...] = ()
    """numbers of the rows of each part that do not count: cheaper than copying all others"""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The frames, one at a time."""
        for part, numbers in zip_longest(self.parts, self.left_out):
            frame = pl.read_ipc(part) if isinstance(part, Path) else part
            rest = frame if numbers is None or numbers.is_empty() else without(frame, numbers)
            if not rest.is_empty():
                yield rest


def without(frame: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """The other rows."""
    return frame.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(numbers.implode()))


class Extracted(NamedTuple):
    """All pages of a slice."""

    records: Batches
    """the vendor's fields as text, with what the connector's validation needs"""
    started_at: datetime
    pages: int
    received: int
    vendor_total: int | None
    empty_tail: bool


class Validated(NamedTuple):
    """Records that can be scans, and rejects (REJECT_SCHEMA)."""

    records: Batches
    rejects: Batches
    resolved: tuple[str, ...] = ()
    """ids of open rejects whose record was accepted this time"""
    leftover: tuple[str, ...] = ()
    """names of fields nobody here knows"""


class Transformed(NamedTuple):
    """Scans (SCAN_SCHEMA) and what the run should mention once."""

    scans: Batches
    accepted: int
    low: int
    """records of these that raise no alert"""
    outside: int
    newest_at: datetime | None
    unseen: tuple[str, ...] = ()
    """verdicts, actions and routes never seen, as `kind: word`"""


class Again(NamedTuple):
    """Rejects that are records by now."""

    scans: pl.DataFrame
    """SCAN_SCHEMA"""
    reject_ids: pl.Series
    """of the reject that each scan was"""


def write_batches(frames: Iterable[pl.DataFrame], folder: Path) -> Batches:
    """Collect small frames in batches of at most `BATCH_ROWS` rows, all but the last one in files."""
    parts: list[Path | pl.DataFrame] = []
    held: list[pl.DataFrame] = []
    rows = 0
    for part in (part for frame in frames for part in frame.iter_slices(BATCH_ROWS)):
        if rows + len(part) > BATCH_ROWS:
            parts.append(_written(held, folder / f"{len(parts):05}.arrow"))
            held, rows = [], 0
        if len(part):
            held.append(part)
            rows += len(part)
    return Batches((*parts, pl.concat(held, rechunk=True)) if held else ())


def _written(held: list[pl.DataFrame], file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pl.concat(held, rechunk=True).write_ipc(file, compression="uncompressed")
    return file
