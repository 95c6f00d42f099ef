"""Suppression: the alerts that the allow-list hides while an entry is active.

A hidden alert stays in its group, so membership and IDs never change; counts, priority and exposures ignore it. Which
alerts are hidden is stored, not computed from the clock: adding, removing and expiry are one transaction each.
"""

from datetime import datetime
from typing import NamedTuple

import polars as pl

from tasks.alerts import MOMENT
from tasks.formatting import format_count
from tasks.groups.exposures import update_exposures
from tasks.groups.groups import refresh_groups
from tasks.notifications import changes
from tasks.store.connection import Transaction

COLUMN_OF_KIND = {"hash": "file_sha256", "sender": "sender", "sender_domain": "sender_domain"}
"""Kind of entry → column of an alert."""

ALERTS = """
    SELECT
        replace(scan_id::VARCHAR, '-', '') AS alert_id, tenant, file_sha256, sender, domain_of(sender) AS sender_domain,
        replace(group_id::VARCHAR, '-', '') AS group_id, detected_at
    FROM internal.alerts_with_entries
"""
ENTRIES = "SELECT entry_id::VARCHAR AS entry_id, tenant, kind, value, created_at FROM internal.allow_list"


class HiddenCounts(NamedTuple):
    alerts: int
    groups: int
    """groups with no other alert"""

    def describe(self) -> str:
        return f"{format_count(self.alerts, 'stored alert')} and {format_count(self.groups, 'whole group')}"


def matches(alerts: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """alert_id, entry_id: each alert that an entry of its tenant matches, with the oldest such entry.

    `alerts`: alert_id, tenant, file_sha256, sender, sender_domain; `entries`: entry_id, tenant, kind, value,
    created_at.
    """
    parts = [
        alerts.join(entries.filter(pl.col("kind") == kind), left_on=("tenant", column), right_on=("tenant", "value"))
        .select("alert_id", "entry_id", "created_at")
        for kind, column in COLUMN_OF_KIND.items()
    ]  # fmt: skip
    found = pl.concat(parts).sort("created_at", "entry_id")
    return found.unique("alert_id", keep="first", maintain_order=True).select("alert_id", "entry_id")


def suppress(transaction: Transaction, alerts: pl.DataFrame, now: datetime) -> int:
    """Hide the alerts that match an entry and are not hidden yet; returns their number. Frame: as in `matches`."""
    entries = transaction.frame(f"{ENTRIES} WHERE ended_at IS NULL")
    found = matches(alerts, entries) if not entries.is_empty() else pl.DataFrame()
    if found.is_empty():
        return 0
    return int(
        transaction.rows(
            """
            INSERT INTO internal.suppressed BY NAME
            SELECT e.tenant, f.alert_id::UUID AS alert_id, e.entry_id, $now AS since
            FROM found f JOIN internal.allow_list e ON f.entry_id::UUID = e.entry_id
            WHERE f.alert_id::UUID NOT IN (SELECT alert_id FROM internal.suppressed WHERE ended_at IS NULL)
            """,
            {"now": now},
            found=found,
        )[0][0]
    )


def hide_matching(transaction: Transaction, tenant: str, kind: str, value: str, now: datetime) -> None:
    """Hide the stored alerts that a new entry matches."""
    alerts = find_matching(transaction, tenant, kind, value)
    suppress(transaction, alerts, now)
    _refresh(transaction, alerts, now)


def find_matching(transaction: Transaction, tenant: str, kind: str, value: str) -> pl.DataFrame:
    """Visible stored alerts (ALERTS) that an entry would match."""
    column = "domain_of(sender)" if kind == "sender_domain" else COLUMN_OF_KIND[kind]
    return transaction.frame(
        f"{ALERTS} WHERE shown AND tenant = $tenant AND {column} = $value", {"tenant": tenant, "value": value}
    )


def count_hidden(transaction: Transaction, alerts: pl.DataFrame) -> HiddenCounts:
    left = transaction.rows(
        """
        SELECT count(*) FROM internal.groups g
        JOIN (SELECT group_id::UUID AS group_id, count(*) AS n FROM named GROUP BY ALL) h USING (group_id)
        WHERE g.alert_count = h.n
        """,
        named=alerts.select("group_id"),
    )[0][0]
    return HiddenCounts(len(alerts), left)


def expire_entries(transaction: Transaction, now: datetime) -> int:
    """End the entries that have expired; returns how many alerts are visible again. Cheap if none has."""
    due = transaction.frame(
        "SELECT entry_id::VARCHAR AS entry_id FROM internal.allow_list WHERE ended_at IS NULL AND expires_at <= $now",
        {"now": now},
    )
    if due.is_empty():
        return 0
    shown_again = end_entries(transaction, due["entry_id"], now)
    changes.record_changes(transaction, "expiry", now)
    return shown_again


def end_entries(transaction: Transaction, entry_ids: pl.Series, now: datetime) -> int:
    """End these entries and show their alerts again, unless another entry matches; returns the number of alerts."""
    ended = entry_ids.alias("entry_id").to_frame()
    transaction.run(
        "UPDATE internal.allow_list SET ended_at = $now WHERE entry_id IN (SELECT entry_id::UUID FROM ended)",
        {"now": now},
        ended=ended,
    )
    freed = transaction.frame(f"{ALERTS} WHERE entry_id IN (SELECT entry_id::UUID FROM ended)", ended=ended)
    changes.snapshot_exposures_of_groups(transaction, freed["group_id"])
    transaction.run(
        "UPDATE internal.suppressed SET ended_at = $now "
        "WHERE ended_at IS NULL AND entry_id IN (SELECT entry_id::UUID FROM ended)",
        {"now": now},
        ended=ended,
    )
    again = suppress(transaction, freed, now)
    _refresh(transaction, freed, now)
    transaction.changed = True
    return len(freed) - again


def _refresh(transaction: Transaction, alerts: pl.DataFrame, now: datetime) -> None:
    """Update the groups and exposures of alerts that were hidden or shown."""
    if alerts.is_empty():
        return
    refresh_groups(transaction, alerts["group_id"].unique(), pl.Series([], dtype=MOMENT), now)
    update_exposures(transaction, alerts, alerts.select("tenant", "file_sha256").clear())
