"""The history of scans that were read more than once: what each reading changed, and the resulting row.

Readings of one scan are ordered by when their page was requested, then by place in the answer; the latest wins and
older news never overwrites newer. Once an alert, always an alert.
"""

from datetime import datetime

import polars as pl

from tasks.alerts import LEVELS, MOMENT, MUTABLE, PRIORITY_COLUMNS, PRIVATE, SCAN_SCHEMA

LIFECYCLE = pl.Schema(
    {
        "first_loaded_at": MOMENT,
        "last_changed_at": MOMENT,
        "raised_at": MOMENT,
        "cleared_at": MOMENT,
        "load_no": pl.Int64(),
        "group_id": pl.String(),
        "group_key": pl.String(),
    }
)
"""Columns that the store adds to a scan; raised_at is null exactly for scans that never raised an alert."""


LEVEL = pl.col("priority").replace_strict(LEVELS, return_dtype=pl.Int8)


CHANGES = pl.Schema(
    {
        "scan_id": pl.String(),
        "field": pl.String(),
        "old_value": pl.String(),
        "new_value": pl.String(),
        "seen_at": MOMENT,
    }
)


def build_histories(repeated: pl.DataFrame, stored: pl.DataFrame, keep_low: bool) -> pl.DataFrame:
    """Stored and new readings of each scan in order, as they would be stored, without older news.

    `active`: an alert that is not cleared. `differs`: whether the reading changes the scan.
    """
    was_active = pl.col("raised_at").is_not_null() & pl.col("cleared_at").is_null()
    rows = _in_order(repeated, stored).with_columns(
        level=pl.when("is_stored", pl.col("raised_at").is_null()).then(0).otherwise(LEVEL),
        active=pl.when("is_stored").then(was_active).otherwise(LEVEL > 0),
    )
    rows = rows.with_columns(highest=pl.col("level").cum_max().over("scan_id"))
    if not keep_low:
        # A scan without an alert keeps only what was stored under an earlier setting.
        stored_before = pl.when(pl.col("is_stored").first().over("scan_id")).then(
            pl.col(PRIVATE).first().over("scan_id")
        )
        rows = rows.with_columns(pl.when(pl.col("highest") > 0).then(pl.col(PRIVATE)).otherwise(stored_before))
    # After a reading of lower priority, the judgement of the highest one still applies.
    judgement = (
        pl.when(pl.col("level") == pl.col("highest")).then(pl.struct(PRIORITY_COLUMNS)).forward_fill().over("scan_id")
    )
    rows = rows.with_columns(judgement=judgement)
    compared = (*MUTABLE, "active", "highest", "judgement", "disposition", "dangerous")
    # The previous row is of the same scan, except for the first of a scan.
    changes = [pl.col(name).ne_missing(pl.col(name).shift()) for name in compared]
    first = pl.col("scan_id").ne_missing(pl.col("scan_id").shift())
    return rows.with_columns(first=first, differs=~first & pl.any_horizontal(changes))


def _in_order(repeated: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The readings and the stored rows of their scans, sorted by scan and time, without older news."""
    empty_life = [pl.lit(None, stored.schema[name]).alias(name) for name in LIFECYCLE]
    rows = repeated.with_columns(*empty_life, is_stored=pl.lit(False))
    order, descending = ("scan_id", "fetched_at", "place", "is_stored"), [False, False, False, True]
    if stored.is_empty():
        return rows.sort(order, descending=descending)
    known = stored.join(repeated, on="scan_id", how="semi").with_columns(is_stored=pl.lit(True))
    rows = pl.concat([known, rows.select(known.columns)]).sort(order, descending=descending)
    # Rows before the stored one are older news.
    has_stored = pl.col("is_stored").any().over("scan_id")
    return rows.filter(~has_stored | pl.col("is_stored").cast(pl.UInt8).cum_max().over("scan_id").cast(pl.Boolean))


def list_changes(histories: pl.DataFrame) -> pl.DataFrame:
    """One row for each field that a reading changed."""
    before = histories.with_columns(pl.col(name).shift().alias(f"old_{name}") for name in MUTABLE)
    # A column that is stored from now on has not changed: of a low scan it was not stored before.
    was_stored = (pl.col("highest").shift() > 0) | pl.any_horizontal(
        pl.col(f"old_{name}").is_not_null() for name in MUTABLE if name in PRIVATE
    )
    fields = [
        pl.struct(
            field=pl.lit(name),
            old_value=pl.col(f"old_{name}").cast(pl.String),
            new_value=pl.col(name).cast(pl.String),
            is_change=pl.col(name).ne_missing(pl.col(f"old_{name}"))
            & (pl.col("was_stored") if name in PRIVATE else pl.lit(value=True)),
        )
        for name in MUTABLE
    ]
    changed = before.with_columns(was_stored=was_stored).filter("differs")
    listed = changed.select("scan_id", seen_at="fetched_at", field=pl.concat_list(fields)).explode("field")
    rows = listed.unnest("field").filter("is_change")
    return rows.select(list(CHANGES)).sort("scan_id", "seen_at", "field")


def latest_versions(histories: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The resulting row of each new or changed scan: current fields, highest priority, updated life cycle.

    `raised`: whether it is a new alert or an alert of a higher priority than before.
    """
    news = histories.filter((pl.col("differs") | (pl.col("first") & ~pl.col("is_stored"))).any().over("scan_id"))
    # A reading without a change does not count as the latest version.
    news = news.filter(pl.col("first") | pl.col("differs"))
    moment = pl.lit(now, MOMENT)
    top = pl.col("level") == pl.col("highest").max()
    first, last = pl.all().exclude("scan_id").first(), pl.all().exclude("scan_id").last()
    rows = news.group_by("scan_id", maintain_order=True).agg(
        last,
        # The last reading of the highest priority explains the priority, also after the verdict became harmless.
        *[pl.col(name).filter(top).last().alias(f"top_{name}") for name in PRIORITY_COLUMNS],
        first.name.prefix("was_"),
        last_raw=pl.col("raw").drop_nulls().last(),
        ever_active=pl.col("active").any(),
    )
    was_stored = pl.col("was_is_stored")
    highest = pl.col("highest")
    raised = ~was_stored | (highest > pl.col("was_highest"))
    cleared = (highest > 0) & ~pl.col("active")
    rows = rows.with_columns(
        *[pl.when(highest > 0).then(f"top_{name}").otherwise(name).alias(name) for name in PRIORITY_COLUMNS],
        raised_at=pl.when(highest == 0).then(None).when(raised).then(moment).otherwise("was_raised_at"),
        cleared_at=pl.when(cleared).then(
            pl.when("ever_active").then(moment).otherwise(pl.coalesce("was_cleared_at", moment))
        ),
        first_loaded_at=pl.when(was_stored).then("was_first_loaded_at").otherwise(moment),
        last_changed_at=moment,
        load_no="was_load_no",
        group_id="was_group_id",
        group_key="was_group_key",
        # Only readings that are alerts have the vendor's record; a cleared alert keeps its last one.
        raw="last_raw",
    )
    return rows.select(*SCAN_SCHEMA, *LIFECYCLE, raised=raised & (highest > 0))
