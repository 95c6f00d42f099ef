"""What the stages pass to each other: batches of at most 50,000 rows.

The first batches of a slice, nearly always all of them, stay in memory until the next stage reads them; further ones go
to scratch files, so that memory does not depend on the length of a window or on bursts inside a slice. The files are
deleted with the run and are never a checkpoint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

BATCH_ROWS = 50_000
IN_MEMORY = 2  # batches of a slice


@dataclass(frozen=True)
class Batches:
    """Frames with the same columns, in order."""

    parts: list[Path | pl.DataFrame] = field(default_factory=list)
    excluded: tuple[pl.Series, ...] = ()
    """row numbers of each part that are skipped: cheaper than copying all other rows"""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for number, part in enumerate(self.parts):
            frame = pl.read_ipc(part) if isinstance(part, Path) else part
            if self.excluded and not self.excluded[number].is_empty():
                frame = drop_rows(frame, self.excluded[number])
            if not frame.is_empty():
                yield frame


def drop_rows(frame: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """The frame without the rows of these numbers."""
    return frame.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(numbers.implode()))


class Extracted(NamedTuple):
    """All pages of a slice."""

    records: Batches
    """the vendor's fields as text, and the remarks of the record reader"""
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
    """names of unknown fields"""


class Transformed(NamedTuple):
    """Scans (SCAN_SCHEMA), their counts, and unknown values that the run reports once."""

    scans: Batches
    accepted: int
    low: int
    """accepted records that raise no alert"""
    outside: int
    newest_at: datetime | None
    unseen: tuple[str, ...] = ()
    """unknown verdicts, actions and routes, as `kind: value`"""


class Revalidated(NamedTuple):
    """Rejects that the present rules accept."""

    scans: pl.DataFrame
    """SCAN_SCHEMA"""
    reject_ids: pl.Series
    """the reject of each scan"""


def write_batches(frames: Iterable[pl.DataFrame], folder: Path) -> Batches:
    """Collect small frames in batches of at most `BATCH_ROWS` rows, and write all but `IN_MEMORY` of them to files."""
    parts: list[Path | pl.DataFrame] = []
    pending: list[pl.DataFrame] = []
    rows = 0
    for part in (part for frame in frames for part in frame.iter_slices(BATCH_ROWS)):
        if rows + len(part) > BATCH_ROWS:
            batch, pending, rows = pl.concat(pending, rechunk=True), [], 0
            parts.append(batch if len(parts) < IN_MEMORY - 1 else _write(batch, folder / f"{len(parts):05}.arrow"))
        if len(part):
            pending.append(part)
            rows += len(part)
    return Batches([*parts, pl.concat(pending, rechunk=True)] if pending else [])


def _write(frame: pl.DataFrame, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.write_ipc(file, compression="uncompressed")
    return file
