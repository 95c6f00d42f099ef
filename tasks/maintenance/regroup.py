"""Regroup all alerts by another key or other limits.

The plan is made from the published file, without a lock; if the store has changed since, the transaction plans again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from tasks.groups.exposures import update_exposures
from tasks.groups.grouping import GroupAssignment, assign_ids, group_key, partition
from tasks.groups.groups import record_ids, refresh_groups
from tasks.notifications import changes
from tasks.settings import Settings
from tasks.store.connection import Connection, Transaction
from tasks.store.store import Store
from tasks.triage.suppression import expire_entries

EXAMPLES = 10  # groups listed, of those that split and of those that merge
PARTS = 5  # largest parts listed per group

# Only the texts that the key needs, because all alerts are in memory at once.
_ALERTS = """
    SELECT
        replace(scan_id::VARCHAR, '-', '') AS scan_id, tenant, file_sha256, detected_at, priority, response, load_no,
        CASE WHEN file_sha256 IS NULL THEN file_name END AS file_name,
        CASE WHEN file_sha256 IS NULL THEN message_id END AS message_id,
        replace(group_id::VARCHAR, '-', '') AS group_id, replace(group_key::VARCHAR, '-', '') AS old_group_key
    FROM internal.alert_scans
"""


class Plan(NamedTuple):
    """The new groups of all alerts, for one revision of the store."""

    revision: int
    """of the store that it was planned for"""
    assigned: GroupAssignment
    names: pl.DataFrame
    """group_id, file_name of the present groups"""

    @property
    def moved(self) -> pl.DataFrame:
        """Alerts that change their group."""
        return self.assigned.members.filter(pl.col("group_id") != pl.col("old_group_id"))

    @property
    def rekeyed(self) -> pl.DataFrame:
        """Alerts whose key changes, with or without their group."""
        return self.assigned.members.filter(pl.col("group_key") != pl.col("old_group_key"))


def run_regroup(
    store: Store, group_by: str | None, gap_hours: int | None, span_hours: int | None, *, apply: bool
) -> dict[str, Any]:
    """Plan the change and, with `apply`, make it; returns it as JSON values. None: the value of the settings."""
    given = {"group_by": group_by, "group_gap_hours": gap_hours, "group_span_hours": span_hours}
    rules = {name: getattr(store.settings, name) if value is None else value for name, value in given.items()}
    changed_settings = store.settings.model_copy(update=rules)
    with store.snapshot() as database:
        plan = plan_groups(database, changed_settings)
    if apply:
        plan = apply_groups(store, changed_settings, plan)
    differing = [name for name, value in rules.items() if value != getattr(store.settings, name)]
    return {"applied": apply, **rules, "unlike_settings": differing, **compare_groups(plan)}


def plan_groups(database: Connection, settings: Settings) -> Plan:
    """Group all alerts by the key and the limits of `settings`; IDs follow the same rule as in loads."""
    alerts = database.frame(_ALERTS).with_columns(group_key=group_key(settings.group_by), alert_id="scan_id")
    members = alerts.select(
        "alert_id", "tenant", "file_sha256", "detected_at", "load_no", "group_id", "group_key", "old_group_key"
    )
    members = partition(members, timedelta(hours=settings.group_gap_hours), timedelta(hours=settings.group_span_hours))
    issued = database.frame(
        "SELECT replace(group_id::VARCHAR, '-', '') AS group_id, created_no FROM internal.group_ids"
    )
    next_no = issued.select(pl.col("created_no").max().fill_null(0) + 1).item()
    names = database.frame("SELECT replace(group_id::VARCHAR, '-', '') AS group_id, file_name FROM internal.groups")
    return Plan(database.revision(), assign_ids(members, issued.cast({"group_id": pl.String}), next_no), names)


def compare_groups(plan: Plan) -> dict[str, Any]:
    """Exact counts before and after, and the largest groups as examples."""
    pairs = plan.assigned.members.group_by("old_group_id", "group_id").agg(alerts=pl.len())
    split = _groups_with_parts(pairs, "old_group_id", "group_id")
    merged = _groups_with_parts(pairs, "group_id", "old_group_id")
    return {
        "alerts": plan.assigned.members.height,
        "groups_before": pairs["old_group_id"].n_unique(),
        "groups_after": pairs["group_id"].n_unique(),
        "alerts_moved": plan.moved.height,
        "alerts_rekeyed": plan.rekeyed.height,
        "groups_split": split.height,
        "groups_joined": merged.height,
        "split": _examples(split, plan.names),
        "joined": _examples(merged, plan.names),
    }


def _groups_with_parts(pairs: pl.DataFrame, one: str, other: str) -> pl.DataFrame:
    """Groups of column `one` with more than one group in column `other`: group_id, alerts, parts, the largest parts."""
    by_size = pairs.sort("alerts", other, descending=[True, False])
    groups = by_size.group_by(one, maintain_order=True).agg(
        alerts=pl.col("alerts").sum(),
        parts=pl.len(),
        largest=pl.struct(group_id=pl.col(other), alerts=pl.col("alerts")).head(PARTS),
    )
    return groups.filter(pl.col("parts") > 1).rename({one: "group_id"})


def _examples(groups: pl.DataFrame, names: pl.DataFrame) -> list[dict[str, Any]]:
    largest = groups.sort("alerts", "group_id", descending=[True, False]).head(EXAMPLES)
    return largest.join(names, on="group_id", how="left", maintain_order="left").to_dicts()


def apply_groups(store: Store, settings: Settings, plan: Plan) -> Plan:
    """Apply the plan in one transaction and publish; returns the plan applied. Triage is stored per alert and stays."""
    with store.transaction() as transaction:
        if transaction.revision() != plan.revision:
            plan = plan_groups(transaction, settings)
        now = datetime.now(UTC)
        expire_entries(transaction, now)
        transaction.changed |= write_groups(transaction, plan, now)
        transaction.publish = transaction.changed
    return plan


def write_groups(transaction: Transaction, plan: Plan, now: datetime) -> bool:
    """Write a plan made from this revision; returns whether it changed anything."""
    moved, rekeyed = plan.moved, plan.rekeyed
    if moved.is_empty() and rekeyed.is_empty():
        return False
    touched = pl.concat([moved, rekeyed])
    groups = pl.concat([touched["group_id"], touched["old_group_id"]]).unique()
    changes.snapshot_exposures_of_groups(transaction, groups)
    transaction.run(
        "UPDATE internal.alert_scans a SET group_key = r.group_key::UUID FROM rekeyed r "
        "WHERE a.scan_id = r.alert_id::UUID",
        rekeyed=rekeyed.select("alert_id", "group_key"),
    )
    record_ids(transaction, plan.assigned, now)
    refresh_groups(transaction, groups, plan.assigned.members["detected_at"], now)
    # Rebuilt groups have no exposure counts yet; the set of dangerous hashes is unchanged.
    hashes = touched.select("tenant", "file_sha256").drop_nulls().unique()
    update_exposures(transaction, hashes.clear(), hashes)
    changes.record_changes(transaction, "regroup", now)
    return True
