"""What a batch of scans does to the stored ones: new, changed or the same again. Pure functions on frames.

Nearly all are new or say the same again; of the few others `tasks.ingest.reading_history` knows what they change.
"""

from datetime import datetime
from typing import NamedTuple

import polars as pl

from tasks.alerts import LEVELS, MOMENT, MUTABLE, PRIORITY_COLUMNS, PRIVATE, SCAN_SCHEMA
from tasks.ingest.reading_history import CHANGES, LEVEL, LIFECYCLE, build_histories, latest_versions, list_changes

MAPPED = ("disposition", "dangerous", *PRIORITY_COLUMNS)
"""What the site's maps say of a reading: it may change while the reading stays the same."""


class Outcome(NamedTuple):
    """What to write, and the counts of the batch: accepted = new + changed + duplicates."""

    lows: pl.DataFrame
    """rows to insert that raise no alert: SCAN_SCHEMA + LIFE"""
    alerts: pl.DataFrame
    """rows to insert that do; load number, group and key are those stored before, null of new ones"""
    replaced: pl.DataFrame
    """scan_id of stored rows that these rows replace"""
    changes: pl.DataFrame
    """CHANGES"""
    new: int
    changed: int
    duplicates: int
    raised: int
    """new or raised alerts among the rows"""
    high: int
    """… of priority high"""


def merge_versions(batch: pl.DataFrame, stored: pl.DataFrame, keep_low: bool, now: datetime) -> Outcome:
    """Compare `batch` (SCAN_SCHEMA, in order of reading) with `stored` (SCAN_SCHEMA + LIFE) of the same ids.

    What it asks of single columns, it asks without an expression: those wait for the threads that prepare other slices.
    """
    seen = batch["scan_id"].is_duplicated()
    if not stored.is_empty():
        seen |= batch["scan_id"].is_in(stored["scan_id"].implode())
    lows, alerts = _new_scans(batch, ~seen, keep_low, now)
    repeated = _drop_unchanged(batch.filter(seen), stored, keep_low)
    if repeated.is_empty():  # nearly always; the comparison below costs the same for one reading and for thousands
        return _only_new(lows, alerts, len(batch))
    chains = build_histories(repeated, stored, keep_low)
    rows = latest_versions(chains, now)
    rose, rows = rows["rose"], rows.drop("rose")
    is_alert = rows["raised_at"].is_not_null()
    new = len(lows) + len(alerts) + int((chains["first"] & ~chains["is_stored"]).sum())
    changed = int(chains["differs"].sum())
    return Outcome(
        pl.concat([lows, rows.filter(~is_alert)]),
        pl.concat([alerts, rows.filter(is_alert)]),
        rows.select("scan_id").join(stored, on="scan_id", how="semi"),
        list_changes(chains),
        new=new,
        changed=changed,
        duplicates=len(batch) - new - changed,
        raised=len(alerts) + int(rose.sum()),
        high=_count_high(alerts) + int((rose & (rows["priority"] == "high")).sum()),
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
    """Leave out what says the same again: nearly all of an overlap, and not worth a closer look."""
    if stored.is_empty():
        return repeated
    once = repeated.filter(~pl.col("scan_id").is_duplicated())
    both = once.select("scan_id", *MAPPED, *MUTABLE).join(
        stored.select("scan_id", "raised_at", "cleared_at", *MAPPED, *MUTABLE), on="scan_id", suffix="_was"
    )
    low = pl.col("raised_at").is_null() & (pl.col("priority") == "low") & (not keep_low)
    same = [pl.col(name).eq_missing(pl.col(f"{name}_was")) | (low & (name in PRIVATE)) for name in MUTABLE]
    # The same verdict may mean something else by now: the site has changed its map.
    stands = pl.col("raised_at").is_not_null() & pl.col("cleared_at").is_null()
    was = pl.col("priority_was").replace_strict(LEVELS, return_dtype=pl.Int8)
    means = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in PRIORITY_COLUMNS)
    same += [stands == (LEVEL > 0), (was > LEVEL) | means]
    same += [pl.col(name).eq_missing(pl.col(f"{name}_was")) for name in ("disposition", "dangerous")]
    return repeated.join(both.filter(pl.all_horizontal(same)), on="scan_id", how="anti")


def _new_scans(
    batch: pl.DataFrame, fresh: pl.Series, keep_low: bool, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scans read for the first time, once: low ones and alerts, apart from the start as each copy of a batch costs."""
    low, moment = batch["priority"] == "low", pl.lit(now, MOMENT)
    life = {"first_loaded_at": moment, "last_changed_at": moment, "raised_at": pl.lit(None, MOMENT)}
    life |= {name: pl.lit(None, LIFECYCLE[name]) for name in LIFECYCLE if name not in life}
    unkept = [] if keep_low else [pl.lit(None, SCAN_SCHEMA[name]).alias(name) for name in PRIVATE]
    lows = batch.filter(fresh & low).with_columns(*unkept, **life)
    return lows, batch.filter(fresh & ~low).with_columns(**life | {"raised_at": moment})
