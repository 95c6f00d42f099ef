"""The rules for readings of the same scan, one reading after the other, with dicts only."""

from collections import Counter
from typing import Any

import polars as pl

from tasks.alerts import LEVELS, MUTABLE, PRIORITY_COLUMNS, PRIVATE, SCAN_SCHEMA
from tests.scans import HOUR, START

NOW = START + 5000 * HOUR
Rows = dict[str, dict[str, Any]]


class Rule:
    """Applies one reading after the other."""

    def __init__(self, *, keep_low: bool) -> None:
        self.keep_low = keep_low
        self.rows: Rows = {}
        self.changes: list[tuple[Any, ...]] = []
        self.counts: Counter[str] = Counter()

    def read(self, batch: pl.DataFrame) -> None:
        for reading in sorted(batch.iter_rows(named=True), key=lambda row: (row["fetched_at"], row["place"])):
            self.counts[self._apply(reading)] += 1

    def _apply(self, reading: dict[str, Any]) -> str:
        name, level = reading["scan_id"], LEVELS[reading["priority"]]
        old = self.rows.get(name)
        if old is not None and reading["fetched_at"] < old["fetched_at"]:
            return "duplicates"
        alert = level > 0 or (old is not None and old["raised_at"] is not None)
        if not alert and not self.keep_low:
            reading = reading | {each: old[each] if old else None for each in PRIVATE}
        if old is None:
            self.rows[name] = _row(reading, raised_at=NOW if alert else None, cleared_at=None, first_loaded_at=NOW)
            return "new"
        differing = [each for each in MUTABLE if reading[each] != old[each]]
        if not differing:
            return "duplicates"
        # What was not kept of a low scan has not changed when it is kept now.
        known = old["raised_at"] or any(old[each] is not None for each in MUTABLE if each in PRIVATE)
        self.changes += [
            (name, each, _text(old[each]), _text(reading[each]), reading["fetched_at"])
            for each in differing
            if known or each not in PRIVATE
        ]
        highest = LEVELS[old["priority"]] if old["raised_at"] else 0
        judged = {} if level >= highest else {each: old[each] for each in PRIORITY_COLUMNS}
        self.rows[name] = _row(
            reading | judged | {"raw": reading["raw"] or old["raw"]},
            raised_at=NOW if level > highest else old["raised_at"],
            cleared_at=(old["cleared_at"] or NOW) if alert and level == 0 else None,
            first_loaded_at=old["first_loaded_at"],
        )
        return "changed"


def _row(reading: dict[str, Any], **life: Any) -> dict[str, Any]:
    row = {key: reading[key] for key in SCAN_SCHEMA if key != "place"}
    return row | {"last_changed_at": NOW, "group_id": None, "group_key": None} | life


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
