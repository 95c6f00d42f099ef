"""Triage: people's decisions, stored per alert.

A decision on a group applies to every alert that the group shows at that moment, not to those that the allow-list
hides. It is validated in the transaction that writes it, so people who decide at the same time see each other's
decision.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import TriageRefused
from tasks.groups.groups import refresh_status
from tasks.store.connection import Transaction
from tasks.store.store import Store, open_existing
from tasks.triage.decision import Decision, validate_decision
from tasks.triage.selection import Filter, find_alerts_by_filter, find_alerts_by_id
from tasks.triage.suppression import expire_entries


class MatchedAlerts(NamedTuple):
    """The alerts that a filter has found, to be confirmed by a person."""

    selected: Filter
    alerts: pl.DataFrame
    """alert_id, group_id"""

    @property
    def groups(self) -> int:
        return self.alerts["group_id"].n_unique()


class DecisionResult(NamedTuple):
    decision_id: UUID
    alerts: int
    groups: list[str]
    """IDs of the groups of these alerts"""


def find_alerts(store: Store, selected: Filter, decision: Decision) -> MatchedAlerts:
    """The alerts that match the filter and that the decision would change. Raises TriageRefused."""
    validate_decision(decision)
    if all(value is None for value in selected):
        raise TriageRefused("Nothing is selected. Give the IDs of groups or alerts, or at least one filter.")
    with open_existing(store) as transaction:
        alerts = find_alerts_by_filter(transaction, selected, decision).select("alert_id", "group_id")
    if alerts.is_empty():
        raise TriageRefused("No alert that is not closed matches the filters and would change. Check the filters.")
    return MatchedAlerts(selected, alerts)


def decide(
    store: Store,
    decision: Decision,
    *,
    groups: list[str] | None = None,
    alerts: list[str] | None = None,
    found: MatchedAlerts | None = None,
) -> DecisionResult:
    """Store a decision on groups and alerts by ID or ID prefix, or on alerts that `find_alerts` found.

    Skips found alerts that no longer match the filter or already have this decision. Returns when the decision is
    published. Raises TriageRefused.
    """
    with open_existing(store) as transaction:
        now = datetime.now(UTC)
        decided = write_decision(transaction, decision, now, groups=groups, alerts=alerts, found=found)
        expire_entries(transaction, now)  # afterwards: the person has not seen the alerts that this shows again
        transaction.publish = True
    return decided


def write_decision(
    transaction: Transaction,
    decision: Decision,
    now: datetime,
    *,
    groups: list[str] | None = None,
    alerts: list[str] | None = None,
    found: MatchedAlerts | None = None,
) -> DecisionResult:
    """`decide` within an open transaction."""
    validate_decision(decision)
    if found is None:
        seen = find_alerts_by_id(transaction, groups or [], alerts or [], decision)
    else:
        ids = found.alerts.select("alert_id")
        seen = find_alerts_by_filter(transaction, found.selected, decision).join(ids, on="alert_id", how="semi")
    if seen.is_empty():
        raise TriageRefused("All of these alerts were changed or closed in the meantime. Check them and decide again.")
    decision_id = _write(transaction, seen, decision, now)
    concerned = seen["group_id"].unique(maintain_order=True)
    refresh_status(transaction, concerned, now)
    transaction.changed = True
    return DecisionResult(decision_id, len(seen), [str(UUID(group_id)) for group_id in concerned])


def _write(transaction: Transaction, seen: pl.DataFrame, decision: Decision, now: datetime) -> UUID:
    """One row for each alert: permanent in the log, replaced by the next decision in `decisions`."""
    decision_id = uuid4()
    unchanged = pl.lit(None, pl.String) if decision.status == "new" else pl.col("group_assignee")
    rows = seen.select(
        "tenant", "alert_id", "group_id", "priority_rank",
        status=pl.lit(decision.status),
        close_reason=pl.lit(decision.close_reason, pl.String),
        assignee=pl.coalesce(pl.lit(decision.assignee or None, pl.String), unchanged),
        comment=pl.lit(decision.comment or None, pl.String),
        by=pl.lit(decision.by.strip()),
        at=pl.lit(now, MOMENT),
    )  # fmt: skip
    number = transaction.rows("SELECT coalesce(max(decision_no), 0) + 1 FROM internal.triage_log")[0][0]
    ids = "* REPLACE (alert_id::UUID AS alert_id, group_id::UUID AS group_id), $number AS decision_no"
    facts = {"number": number, "decision": decision_id}
    transaction.run(
        f"INSERT INTO internal.triage_log BY NAME SELECT {ids}, $decision AS decision_id FROM rows", facts, rows=rows
    )
    transaction.run("DELETE FROM internal.decisions WHERE alert_id IN (SELECT alert_id::UUID FROM rows)", rows=rows)
    latest = rows.drop("group_id", "comment")
    transaction.run(
        "INSERT INTO internal.decisions BY NAME "
        "SELECT * REPLACE (alert_id::UUID AS alert_id), $number AS decision_no FROM latest",
        {"number": number},
        latest=latest,
    )
    return decision_id
