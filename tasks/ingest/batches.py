"""What the stages of any connector hand to each other: batches of at most 50,000 rows.

Two batches of a slice, nearly always all there are, stay in memory until the next stage takes them; the others wait in
scratch files, which keeps memory independent of the length of a window and of bursts inside a slice. Files are scratch
of one run and removed with it; they are never a checkpoint.
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
    """Frames of equal columns, in order."""

    parts: list[Path | pl.DataFrame] = field(default_factory=list)
    left_out: tuple[pl.Series, ...] = ()
    """numbers of the rows of each part that do not count: cheaper than copying all others"""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The frames, one at a time."""
        for place, part in enumerate(self.parts):
            frame = pl.read_ipc(part) if isinstance(part, Path) else part
            if self.left_out and not self.left_out[place].is_empty():
                frame = drop_rows(frame, self.left_out[place])
            if not frame.is_empty():
                yield frame


def drop_rows(frame: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
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


class Revalidated(NamedTuple):
    """Rejects that are records by now."""

    scans: pl.DataFrame
    """SCAN_SCHEMA"""
    reject_ids: pl.Series
    """of the reject that each scan was"""


def write_batches(frames: Iterable[pl.DataFrame], folder: Path) -> Batches:
    """Collect small frames in batches of at most `BATCH_ROWS` rows, all but `IN_MEMORY` of them in files."""
    parts: list[Path | pl.DataFrame] = []
    held: list[pl.DataFrame] = []
    rows = 0
    for part in (part for frame in frames for part in frame.iter_slices(BATCH_ROWS)):
        if rows + len(part) > BATCH_ROWS:
            whole, held, rows = pl.concat(held, rechunk=True), [], 0
            parts.append(whole if len(parts) < IN_MEMORY - 1 else _write(whole, folder / f"{len(parts):05}.arrow"))
        if len(part):
            held.append(part)
            rows += len(part)
    return Batches([*parts, pl.concat(held, rechunk=True)] if held else [])


def _write(frame: pl.DataFrame, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.write_ipc(file, compression="uncompressed")
    return file
