"""Comparison of a source's new snapshot with its stored rows: new, current and gone. Pure functions on frames."""

from datetime import datetime

import polars as pl

from tasks.directory.match.correlation import BEGINNING

VALIDITY = ("valid_from", "gone_at")


def next_objects(stored: pl.DataFrame, seen: pl.DataFrame, key: str, at: datetime) -> pl.DataFrame:
    """The rows of one source after an import: those of the snapshot, and the others marked as gone.

    `stored` has the columns of `seen` and the id (null in new rows), first_seen_at, seen_at, gone_at.
    """
    moment = pl.lit(at, stored.schema["first_seen_at"])
    history = [name for name in stored.columns if name not in seen.columns]
    # Only the keys are joined, and `stored` is copied, because otherwise all of its columns would stay in memory.
    stored_history = seen.select(key).join(stored.select(key, *history), on=key, how="left", maintain_order="left")
    current = seen.with_columns(_deep_copy(stored_history.select(history))).with_columns(
        first_seen_at=pl.coalesce("first_seen_at", moment), seen_at=moment, gone_at=pl.lit(None, timestamp_type(stored))
    )
    gone = stored.select(key).join(seen.select(key), on=key, how="anti")
    if gone.is_empty():
        return current.select(stored.columns)
    newly_gone = stored.join(gone, on=key, how="semi").with_columns(gone_at=pl.coalesce("gone_at", moment))
    return pl.concat([current.select(stored.columns), _deep_copy(newly_gone)])


def next_facts(stored: pl.DataFrame, seen: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Facts of one source with [valid_from, gone_at) after an import.

    A source's first import is valid from BEGINNING.
    """
    fact = [name for name in stored.columns if name not in VALIDITY]
    kind = timestamp_type(stored)
    is_current = pl.col("gone_at").is_null()
    ended, current = stored.filter(~is_current), stored.filter(is_current)
    since = BEGINNING if stored.is_empty() else at
    seen = seen.select(fact)
    if seen.is_duplicated().any():
        seen = seen.unique(maintain_order=True)
    valid_from = seen.join(current, on=fact, how="left", nulls_equal=True, maintain_order="left")["valid_from"]
    new = seen.with_columns(valid_from=valid_from.fill_null(since), gone_at=pl.lit(None, kind)).select(stored.columns)
    ended_now = current.join(seen, on=fact, how="anti", nulls_equal=True).with_columns(gone_at=pl.lit(at, kind))
    return pl.concat([_deep_copy(rows) for rows in (ended, ended_now) if not rows.is_empty()] + [new])


def _deep_copy(rows: pl.DataFrame) -> pl.DataFrame:
    """With strings of its own: one shared string keeps all columns of a query result in memory."""
    return rows.with_columns(pl.col(pl.String) + "")


def share_gone(stored: pl.DataFrame, seen: pl.DataFrame, key: str) -> float:
    """Share of a source's current objects that an import would mark as gone."""
    current = stored.filter(pl.col("gone_at").is_null())
    if current.is_empty():
        return 0.0
    return current.join(seen, on=key, how="anti").height / current.height


def timestamp_type(frame: pl.DataFrame) -> pl.DataType:
    return frame.schema["gone_at"]
