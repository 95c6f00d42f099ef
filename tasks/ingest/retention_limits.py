"""Applies retention limits to a batch before it is stored: a backfill of old time loads only what retention keeps."""

from datetime import datetime, timedelta

import polars as pl

from tasks.settings import Settings
from tasks.store.connection import Transaction
from tasks.window import EPOCH

PERIODS = {
    "raw_low": "retention_low_raw_days",
    "raw_alert": "retention_alert_raw_days",
    "low": "retention_low_days",
    "closed": "retention_closed_days",
}
"""Limit → its setting."""

FIXED_DAYS = {"reject": 90, "window": 400, "notice": 90, "gone": 90}
"""Days of limits without a setting: rejects since they were last seen, the logs of slices and of sent messages, and
people and devices that are gone. They take little space."""


def limits(settings: Settings, now: datetime) -> dict[str, datetime]:
    """The oldest moment of each kind of data that is kept; the epoch if it is kept forever."""
    days = {name: getattr(settings, setting) for name, setting in PERIODS.items()} | FIXED_DAYS
    return {name: now - timedelta(days=number) if number else EPOCH for name, number in days.items()}


def drop_expired(
    transaction: Transaction, batch: pl.DataFrame, stored: pl.DataFrame, settings: Settings, now: datetime
) -> pl.DataFrame:
    """The rows of a batch (SCAN_SCHEMA) that retention would keep, old ones without `raw`.

    Dropped are alerts that retention has removed, and old low scans that are not stored and have no alert in the batch.
    """
    moments = limits(settings, now)
    at, low = pl.col("detected_at"), pl.col("priority") == "low"
    oldest: datetime = batch["detected_at"].min()  # type: ignore[assignment]  # a batch has rows
    if oldest < moments["low"]:
        wanted = (~low).any().over("scan_id") | pl.col("scan_id").is_in(stored["scan_id"].implode())
        batch = batch.filter(wanted | (at >= moments["low"]))
    batch = _without_removed(transaction, batch)
    if oldest >= max(moments["raw_low"], moments["raw_alert"]):
        return batch
    old = at < pl.when(low).then(moments["raw_low"]).otherwise(moments["raw_alert"])
    return batch.with_columns(raw=pl.when(~old).then("raw"))


def _without_removed(transaction: Transaction, batch: pl.DataFrame) -> pl.DataFrame:
    """Drop alerts that retention has removed."""
    span = {"first": batch["detected_at"].min(), "last": batch["detected_at"].max()}
    of_span = "FROM internal.removed_alerts WHERE detected_at BETWEEN $first AND $last"
    if not transaction.rows(f"SELECT 1 {of_span} LIMIT 1", span):
        return batch
    removed = transaction.frame(f"SELECT replace(scan_id::VARCHAR, '-', '') AS scan_id {of_span}", span)
    return batch.join(removed, on="scan_id", how="anti", maintain_order="left")
