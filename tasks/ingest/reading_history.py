"""The readings of scans that were read before, in order: what each changed, and what its scan ends as.

Readings of one scan are ordered by when their page was requested, then by place in the answer; the latest wins and
older news never overwrites newer (design: Identity). Once an alert, always an alert (design: Priority).
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
"""What the store adds to a scan; raised_at is null exactly for scans that never raised an alert."""


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
    """Stored and new readings of each scan in order, as they would be kept, without older news; `differs`: changes."""
    stood = pl.col("raised_at").is_not_null() & pl.col("cleared_at").is_null()
    rows = _in_order(repeated, stored).with_columns(
        level=pl.when("is_stored", pl.col("raised_at").is_null()).then(0).otherwise(LEVEL),
        stands=pl.when("is_stored").then(stood).otherwise(LEVEL > 0),
    )
    rows = rows.with_columns(highest=pl.col("level").cum_max().over("scan_id"))
    if not keep_low:
        # Of a scan that is no alert, only what an earlier setting kept stays.
        kept = pl.when(pl.col("is_stored").first().over("scan_id")).then(pl.col(PRIVATE).first().over("scan_id"))
        rows = rows.with_columns(pl.when(pl.col("highest") > 0).then(pl.col(PRIVATE)).otherwise(kept))
    # A lower reading leaves the judgement of the highest one.
    judged = (
        pl.when(pl.col("level") == pl.col("highest")).then(pl.struct(PRIORITY_COLUMNS)).forward_fill().over("scan_id")
    )
    rows = rows.with_columns(judgement=judged)
    compared = (*MUTABLE, "stands", "highest", "judgement", "disposition", "dangerous")
    # The row before is of the same scan, except for a scan's first.
    earlier = [pl.col(name).ne_missing(pl.col(name).shift()) for name in compared]
    first = pl.col("scan_id").ne_missing(pl.col("scan_id").shift())
    return rows.with_columns(first=first, differs=~first & pl.any_horizontal(earlier))


def _in_order(repeated: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The readings and the stored rows of their scans, each scan's one after the other, without older news."""
    empty_life = [pl.lit(None, stored.schema[name]).alias(name) for name in LIFECYCLE]
    rows = repeated.with_columns(*empty_life, is_stored=pl.lit(False))
    order, descending = ("scan_id", "fetched_at", "place", "is_stored"), [False, False, False, True]
    if stored.is_empty():
        return rows.sort(order, descending=descending)
    known = stored.join(repeated, on="scan_id", how="semi").with_columns(is_stored=pl.lit(True))
    rows = pl.concat([known, rows.select(known.columns)]).sort(order, descending=descending)
    # Rows before the stored one in this order are older news.
    has_stored = pl.col("is_stored").any().over("scan_id")
    return rows.filter(~has_stored | pl.col("is_stored").cast(pl.UInt8).cum_max().over("scan_id").cast(pl.Boolean))


def list_changes(chains: pl.DataFrame) -> pl.DataFrame:
    """One row for each field that a reading changed."""
    before = chains.with_columns(pl.col(name).shift().alias(f"old_{name}") for name in MUTABLE)
    # What was not kept of a low scan has not changed when it is kept now.
    known = (pl.col("highest").shift() > 0) | pl.any_horizontal(
        pl.col(f"old_{name}").is_not_null() for name in MUTABLE if name in PRIVATE
    )
    told = [
        pl.struct(
            field=pl.lit(name),
            old_value=pl.col(f"old_{name}").cast(pl.String),
            new_value=pl.col(name).cast(pl.String),
            told=pl.col(name).ne_missing(pl.col(f"old_{name}"))
            & (pl.col("known") if name in PRIVATE else pl.lit(value=True)),
        )
        for name in MUTABLE
    ]
    changed = before.with_columns(known=known).filter("differs")
    fields = changed.select("scan_id", seen_at="fetched_at", field=pl.concat_list(told)).explode("field")
    rows = fields.unnest("field").filter("told")
    return rows.select(list(CHANGES)).sort("scan_id", "seen_at", "field")


def latest_versions(chains: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The row each scan with news ends as: current fields, highest priority, its life carried on; `rose`: more so."""
    news = chains.filter((pl.col("differs") | (pl.col("first") & ~pl.col("is_stored"))).any().over("scan_id"))
    # What only says the same again is not what brought the version.
    news = news.filter(pl.col("first") | pl.col("differs"))
    moment = pl.lit(now, MOMENT)
    top = pl.col("level") == pl.col("highest").max()
    first, last = pl.all().exclude("scan_id").first(), pl.all().exclude("scan_id").last()
    rows = news.group_by("scan_id", maintain_order=True).agg(
        last,
        # The last reading of the highest priority explains it, also after the verdict became harmless.
        *[pl.col(name).filter(top).last().alias(f"top_{name}") for name in PRIORITY_COLUMNS],
        first.name.prefix("was_"),
        last_raw=pl.col("raw").drop_nulls().last(),
        stood=pl.col("stands").any(),
    )
    was_stored = pl.col("was_is_stored")
    highest = pl.col("highest")
    rose = ~was_stored | (highest > pl.col("was_highest"))
    cleared = (highest > 0) & ~pl.col("stands")
    rows = rows.with_columns(
        *[pl.when(highest > 0).then(f"top_{name}").otherwise(name).alias(name) for name in PRIORITY_COLUMNS],
        raised_at=pl.when(highest == 0).then(None).when(rose).then(moment).otherwise("was_raised_at"),
        cleared_at=pl.when(cleared).then(
            pl.when("stood").then(moment).otherwise(pl.coalesce("was_cleared_at", moment))
        ),
        first_loaded_at=pl.when(was_stored).then("was_first_loaded_at").otherwise(moment),
        last_changed_at=moment,
        load_no="was_load_no",
        group_id="was_group_id",
        group_key="was_group_key",
        # The vendor's record is at hand for readings that are alerts; of a cleared one the last such stays.
        raw="last_raw",
    )
    return rows.select(*SCAN_SCHEMA, *LIFECYCLE, rose=rose & (highest > 0))
