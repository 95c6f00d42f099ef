"""Compares a batch of scans with the stored ones: new, changed or duplicate. Pure functions on frames.

Nearly all scans are new or unchanged; `tasks.ingest.reading_history` handles the few others.
"""

from datetime import datetime
from typing import NamedTuple

import polars as pl

from tasks.alerts import LEVELS, MOMENT, MUTABLE, PRIORITY_COLUMNS, PRIVATE, SCAN_SCHEMA
from tasks.ingest.reading_history import CHANGES, LEVEL, LIFECYCLE, build_histories, latest_versions, list_changes

MAPPED = ("disposition", "dangerous", *PRIORITY_COLUMNS)
"""Columns that depend on the site's maps, so they may change although the record does not."""


class Outcome(NamedTuple):
    """What to write, and the counts of the batch: accepted = new + changed + duplicates."""

    lows: pl.DataFrame
    """rows to insert that raise no alert: SCAN_SCHEMA + LIFECYCLE"""
    alerts: pl.DataFrame
    """rows to insert that do; load number, group and key are those stored before, null for new ones"""
    replaced: pl.DataFrame
    """scan_id of the stored rows that these rows replace"""
    changes: pl.DataFrame
    """CHANGES"""
    new: int
    changed: int
    duplicates: int
    raised: int
    """new alerts, and alerts whose priority rose"""
    high: int
    """… of these, with priority high"""


def merge_versions(batch: pl.DataFrame, stored: pl.DataFrame, keep_low: bool, now: datetime) -> Outcome:
    """Compare `batch` (SCAN_SCHEMA, in order of reading) with `stored` (SCAN_SCHEMA + LIFECYCLE) of the same ids.

    Single columns are compared without expressions, which would wait for the threads that prepare other slices.
    """
    repeated_ids = batch["scan_id"].is_duplicated()
    if not stored.is_empty():
        repeated_ids |= batch["scan_id"].is_in(stored["scan_id"].implode())
    lows, alerts = _new_scans(batch, ~repeated_ids, keep_low, now)
    repeated = _drop_unchanged(batch.filter(repeated_ids), stored, keep_low)
    if repeated.is_empty():  # nearly always; the comparison below costs the same for one reading as for thousands
        return _only_new(lows, alerts, len(batch))
    histories = build_histories(repeated, stored, keep_low)
    rows = latest_versions(histories, now)
    raised, rows = rows["raised"], rows.drop("raised")
    is_alert = rows["raised_at"].is_not_null()
    new = len(lows) + len(alerts) + int((histories["first"] & ~histories["is_stored"]).sum())
    changed = int(histories["differs"].sum())
    return Outcome(
        pl.concat([lows, rows.filter(~is_alert)]),
        pl.concat([alerts, rows.filter(is_alert)]),
        rows.select("scan_id").join(stored, on="scan_id", how="semi"),
        list_changes(histories),
        new=new,
        changed=changed,
        duplicates=len(batch) - new - changed,
        raised=len(alerts) + int(raised.sum()),
        high=_count_high(alerts) + int((raised & (rows["priority"] == "high")).sum()),
    )


def _count_high(alerts: pl.DataFrame) -> int:
    return int((alerts["priority"] == "high").sum())


def _only_new(lows: pl.DataFrame, alerts: pl.DataFrame, readings: int) -> Outcome:
    return Outcome(
        lows,
        alerts,
        replaced=lows.select("scan_id").clear(),
        changes=pl.DataFrame(schema=CHANGES),
        new=len(lows) + len(alerts),
        changed=0,
        duplicates=readings - len(lows) - len(alerts),
        raised=len(alerts),
        high=_count_high(alerts),
    )


def _drop_unchanged(repeated: pl.DataFrame, stored: pl.DataFrame, keep_low: bool) -> pl.DataFrame:
    """Drop readings that change nothing: nearly all of an overlap."""
    if stored.is_empty():
        return repeated
    once = repeated.filter(~pl.col("scan_id").is_duplicated())
    both = once.select("scan_id", *MAPPED, *MUTABLE).join(
        stored.select("scan_id", "raised_at", "cleared_at", *MAPPED, *MUTABLE), on="scan_id", suffix="_was"
    )
    low = pl.col("raised_at").is_null() & (pl.col("priority") == "low") & (not keep_low)
    same = [pl.col(name).eq_missing(pl.col(f"{name}_was")) | (low & (name in PRIVATE)) for name in MUTABLE]
    # The site may have changed its maps, so that the same verdict has another meaning.
    active = pl.col("raised_at").is_not_null() & pl.col("cleared_at").is_null()
    was = pl.col("priority_was").replace_strict(LEVELS, return_dtype=pl.Int8)
    same_priority = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in PRIORITY_COLUMNS)
    same += [active == (LEVEL > 0), (was > LEVEL) | same_priority]
    same += [pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in ("disposition", "dangerous")]
    return repeated.join(both.filter(pl.all_horizontal(same)), on="scan_id", how="anti")


def _new_scans(
    batch: pl.DataFrame, is_new: pl.Series, keep_low: bool, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """New scans that occur once in the batch: low ones and alerts."""
    low, moment = batch["priority"] == "low", pl.lit(now, MOMENT)
    lifecycle = {"first_loaded_at": moment, "last_changed_at": moment, "raised_at": pl.lit(None, MOMENT)}
    lifecycle |= {name: pl.lit(None, LIFECYCLE[name]) for name in LIFECYCLE if name not in lifecycle}
    emptied = [] if keep_low else [pl.lit(None, SCAN_SCHEMA[name]).alias(name) for name in PRIVATE]
    lows = batch.filter(is_new & low).with_columns(*emptied, **lifecycle)
    return lows, batch.filter(is_new & ~low).with_columns(**lifecycle | {"raised_at": moment})
