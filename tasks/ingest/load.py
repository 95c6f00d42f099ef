"""Loads a slice into the tables, within the caller's transaction: rows, changes, rejects, groups, report and coverage.

Its cost depends on what is new: only scans in the period of the batch are looked up (`tasks.ingest.scan_rows`), and
only groups that change are updated.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from tasks.directory.imports.tables import match_new_recipients
from tasks.groups.exposures import add_low_hashes, find_exposed_by_load, record_exposures, update_exposures
from tasks.groups.grouping import group_key
from tasks.groups.groups import GroupChanges, update_groups
from tasks.ingest import coverage, scan_rows
from tasks.ingest.rejects import load_rejects
from tasks.ingest.retention_limits import drop_expired
from tasks.ingest.upsert import Outcome, merge_versions
from tasks.notifications import changes, connector_changes
from tasks.settings import Settings
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.triage.suppression import suppress
from tasks.window import Slice

TOUCHED = ("scan_id", "tenant", "file_sha256", "sender", "group_key", "old_group_key", "detected_at", "group_id")


class Loaded(NamedTuple):
    """Counts of a loaded slice. accepted = new + changed + duplicates + expired."""

    new: int = 0
    changed: int = 0
    duplicates: int = 0
    rejected: int = 0
    alerts: int = 0
    high: int = 0
    late_by: timedelta = timedelta()
    """longest time from detection to fetching among the new scans"""
    suppressed: int = 0
    """alerts that the allow-list hides"""
    exposures: int = 0
    """scans without an alert whose file is dangerous in another scan"""
    affected: GroupChanges = GroupChanges()
    reasons: tuple[tuple[str, int], ...] = ()
    """reasons of rejects, each with the number of records"""
    expired: int = 0
    """older than what is kept, so not stored"""


class BatchResult(NamedTuple):
    """What the rest of the transaction needs of a loaded batch."""

    outcome: Outcome
    """without its rows"""
    accepted: int
    alerts: pl.DataFrame
    """TOUCHED"""
    recipients: pl.Series
    low_hashes: pl.Series
    """hashes of its low scans"""
    first: datetime
    """detection of the first and the last scan of the batch"""
    last: datetime
    late_by: timedelta


class DerivedChanges(NamedTuple):
    """Changes to groups, suppression and exposures that follow from a slice."""

    suppressed: int = 0
    exposures: int = 0
    affected: GroupChanges = GroupChanges()


def load_slice(
    transaction: Transaction,
    source: Source,
    scans: Iterable[pl.DataFrame],
    rejects: Iterable[pl.DataFrame],
    resolved: Iterable[str],
    settings: Settings,
) -> Loaded:
    """Load the scans (SCAN_SCHEMA) and the rejects (REJECT_SCHEMA) of one slice, both in batches.

    `resolved`: ids of rejects whose record is now accepted. Report and coverage are written by `close_slice`.
    """
    now = datetime.now(UTC)
    results = [_load_batch(transaction, source, batch, settings, now) for batch in scans if not batch.is_empty()]
    derived = _update_derived(transaction, source, results, settings, now) if results else DerivedChanges()
    reasons, changed_rejects = load_rejects(transaction, source, rejects, resolved)
    outcomes = [result.outcome for result in results]
    new, changed = sum(outcome.new for outcome in outcomes), sum(outcome.changed for outcome in outcomes)
    duplicates = sum(outcome.duplicates for outcome in outcomes)
    transaction.changed |= bool(new or changed or changed_rejects)
    return Loaded(
        new,
        changed,
        duplicates,
        reasons.total(),
        sum(outcome.raised for outcome in outcomes),
        sum(outcome.high for outcome in outcomes),
        max((result.late_by for result in results), default=timedelta()),
        **derived._asdict(),
        reasons=tuple(reasons.most_common()),
        expired=sum(result.accepted for result in results) - new - changed - duplicates,
    )


def _update_derived(
    transaction: Transaction, source: Source, results: list[BatchResult], settings: Settings, now: datetime
) -> DerivedChanges:
    """Update people, exposures, suppression and groups after the scans of all batches."""
    match_new_recipients(transaction, source.tenant, pl.concat([result.recipients for result in results]), settings)
    # An alert that two batches changed is here twice, with each of its former keys.
    alerts = pl.concat([result.alerts for result in results])
    first, last = min(result.first for result in results), max(result.last for result in results)
    exposed = find_exposed_by_load(transaction, source.tenant, first, last, now)
    changes.snapshot_exposures(transaction, _hashes_and_keys(alerts, exposed), first, now)
    record_exposures(transaction, exposed, pl.concat([result.outcome.replaced for result in results]))
    add_low_hashes(transaction, pl.concat([result.low_hashes for result in results]))
    suppressed = suppress(transaction, _allow_list_values(alerts), now)
    affected = update_groups(transaction, alerts, settings, now)
    found = int(exposed["new"].sum()) + update_exposures(transaction, alerts, exposed)
    return DerivedChanges(suppressed, found, affected)


def _hashes_and_keys(alerts: pl.DataFrame, exposed: pl.DataFrame) -> pl.Series:
    """The hashes of both, and the group keys of alerts (TOUCHED) without a hash."""
    keys = alerts.filter(pl.col("file_sha256").is_null())
    parts = [alerts["file_sha256"], keys["group_key"], keys["old_group_key"], exposed["file_sha256"].cast(pl.String)]
    return pl.concat(parts).drop_nulls().unique()


def _allow_list_values(alerts: pl.DataFrame) -> pl.DataFrame:
    """The values of these alerts that an allow-list entry can match."""
    domain = pl.col("sender").str.extract("@([^@]*)$")  # as in the tables
    return alerts.select("tenant", "file_sha256", "sender", alert_id="scan_id", sender_domain=domain)


def _lateness(scans: pl.DataFrame, now: datetime) -> timedelta:
    late_by = (scans["fetched_at"] - scans["detected_at"]).filter(scans["first_loaded_at"] == now)
    return timedelta(microseconds=late_by.dt.total_microseconds().max() or 0)  # type: ignore[arg-type]  # a number


def _load_batch(
    transaction: Transaction, source: Source, batch: pl.DataFrame, settings: Settings, now: datetime
) -> BatchResult:
    stored = scan_rows.stored_scans(transaction, batch)
    rows = drop_expired(transaction, batch, stored, settings, now)
    outcome = merge_versions(rows, stored, settings.keep_low == "full", now)
    lows, alerts = outcome.lows, outcome.alerts
    alerts, key = alerts.with_columns(old_key="group_key", tenant=pl.lit(source.tenant)), group_key(settings.group_by)
    alerts = alerts.with_columns(group_key=key, old_group_key=pl.when(pl.col("old_key") != key).then("old_key"))
    first, last = scan_rows.span(batch)
    scan_rows.remove(transaction, outcome.replaced, first, last, now)
    scan_rows.insert_lows(transaction, source, lows)
    scan_rows.insert_alerts(transaction, source, alerts)
    scan_rows.insert_changes(transaction, source, outcome.changes)
    return BatchResult(
        outcome._replace(lows=lows.clear(), alerts=alerts.clear(), changes=outcome.changes.clear()),
        len(batch),
        alerts.select(TOUCHED),
        pl.concat([lows["recipient"], alerts["recipient"]]).unique(),
        lows["file_sha256"].unique(),
        first,
        last,
        max(_lateness(lows, now), _lateness(alerts, now)),
    )


def close_slice(
    transaction: Transaction,
    source: Source,
    slice_: Slice,
    report: coverage.Report,
    covers_until: datetime | None = None,
) -> None:
    """Record a complete slice, its coverage and its notifications in the same transaction as its rows."""
    coverage.record_reports(transaction, source, [report])
    coverage.add_coverage(transaction, source, slice_, covers_until)
    changes.record_changes(
        transaction, connector_changes.cause_of(transaction, source, slice_), datetime.now(UTC), source.connector_id
    )
