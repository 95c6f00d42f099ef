"""Applies retention limits to a batch before it is stored: a backfill of old time loads only what retention keeps."""

from datetime import UTC, datetime, timedelta

import polars as pl

from tasks.settings import Settings
from tasks.store.connection import Transaction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing is older: the limit of data that is kept forever."""

PERIODS = {
    "raw_low": "retention_low_raw_days",
    "raw_alert": "retention_alert_raw_days",
    "low": "retention_low_days",
    "closed": "retention_closed_days",
}
"""Name of a limit → its setting."""

FIXED_DAYS = {"reject": 90, "window": 400, "notice": 90, "gone": 90}
"""Limits without a setting: rejects after they were last seen, the log of slices and of sent messages, and people and
devices that are gone. They take little space, and no site had a reason to change them."""


def limits(settings: Settings, now: datetime) -> dict[str, datetime]:
    """The oldest moment of each kind of data that is kept."""
    days = {name: getattr(settings, setting) for name, setting in PERIODS.items()} | FIXED_DAYS
    return {name: now - timedelta(days=number) if number else EPOCH for name, number in days.items()}


def drop_expired(
    transaction: Transaction, batch: pl.DataFrame, stored: pl.DataFrame, settings: Settings, now: datetime
) -> pl.DataFrame:
    """The rows of a batch (SCAN_SCHEMA) that are stored, old ones without `raw`.

    Left out are alerts that were removed, and old scans, unless they are stored already or the batch raises an alert.
    """
    moments = limits(settings, now)
    at, low = pl.col("detected_at"), pl.col("priority") == "low"
    oldest: datetime = batch["detected_at"].min()  # type: ignore[assignment]  # for a batch has rows
    if oldest < moments["low"]:
        wanted = (~low).any().over("scan_id") | pl.col("scan_id").is_in(stored["scan_id"].implode())
        batch = batch.filter(wanted | (at >= moments["low"]))
    batch = _without_removed(transaction, batch)
    if oldest >= max(moments["raw_low"], moments["raw_alert"]):
        return batch
    old = at < pl.when(low).then(moments["raw_low"]).otherwise(moments["raw_alert"])
    return batch.with_columns(raw=pl.when(~old).then("raw"))


def _without_removed(transaction: Transaction, batch: pl.DataFrame) -> pl.DataFrame:
    """Leave out alerts that retention has removed."""
    span = {"first": batch["detected_at"].min(), "last": batch["detected_at"].max()}
    of_span = "FROM internal.removed_alerts WHERE detected_at BETWEEN $first AND $last"
    if not transaction.rows(f"SELECT 1 {of_span} LIMIT 1", span):
        return batch
    removed = transaction.frame(f"SELECT replace(scan_id::VARCHAR, '-', '') AS scan_id {of_span}", span)
    return batch.join(removed, on="scan_id", how="anti", maintain_order="left")
