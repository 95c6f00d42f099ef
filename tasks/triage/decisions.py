"""Triage (design: Triage): what people decide on alerts, stored beside them for each alert they saw.

A decision on a group is one on every alert that the group then shows; what the allow-list hides was not seen. All is
checked inside the transaction that writes it, so two people who decide at once meet each other's decision.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import TriageRefused
from tasks.groups.groups import refresh_status
from tasks.store.connection import Transaction
from tasks.store.store import Store, existing
from tasks.triage.decision import Decision, validate_decision
from tasks.triage.selection import Filter, find_alerts_by_filter, find_alerts_by_id
from tasks.triage.suppression import expire_entries


class MatchedAlerts(NamedTuple):
    """What a filter has found: shown to a person before it is decided on."""

    chosen: Filter
    alerts: pl.DataFrame
    """alert_id, group_id"""

    @property
    def groups(self) -> int:
        """How many groups have these alerts."""
        return self.alerts["group_id"].n_unique()


class DecisionResult(NamedTuple):
    """What a decision came to."""

    decision_id: UUID
    alerts: int
    groups: list[str]
    """ids of the groups with these alerts"""


def find_alerts(store: Store, chosen: Filter, decision: Decision) -> MatchedAlerts:
    """The alerts that a filter finds and that the decision would change. Raises TriageRefused."""
    validate_decision(decision)
    if all(value is None for value in chosen):
        raise TriageRefused("Name what to decide on: ids of groups or alerts, or at least one filter.")
    with existing(store) as transaction:
        alerts = find_alerts_by_filter(transaction, chosen, decision).select("alert_id", "group_id")
    if alerts.is_empty():
        raise TriageRefused("No alert that is not closed fits that choice and would change.")
    return MatchedAlerts(chosen, alerts)


def decide(
    store: Store,
    decision: Decision,
    *,
    groups: list[str] | None = None,
    alerts: list[str] | None = None,
    found: MatchedAlerts | None = None,
) -> DecisionResult:
    """Store a decision on groups and alerts by id or beginning of it, or on alerts that `find` found.

    Of what was found, alerts that do not fit the filter any more, or that somebody has decided on like that in the
    meantime, are left alone. Returns when the decision is published. Raises TriageRefused.
    """
    with existing(store) as transaction:
        now = datetime.now(UTC)
        decided = write_decision(transaction, decision, now, groups=groups, alerts=alerts, found=found)
        expire_entries(transaction, now)  # afterwards: nobody has seen yet what is shown again
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
    """What `decide` does, inside a transaction that is open already."""
    validate_decision(decision)
    if found is None:
        seen = find_alerts_by_id(transaction, groups or [], alerts or [], decision)
    else:
        ids = found.alerts.select("alert_id")
        seen = find_alerts_by_filter(transaction, found.chosen, decision).join(ids, on="alert_id", how="semi")
    if seen.is_empty():
        raise TriageRefused("There is no alert left to decide on: all have changed or been closed in the meantime.")
    decision_id = _write(transaction, seen, decision, now)
    concerned = seen["group_id"].unique(maintain_order=True)
    refresh_status(transaction, concerned, now)
    transaction.changed = True
    return DecisionResult(decision_id, len(seen), [str(UUID(each)) for each in concerned])


def _write(transaction: Transaction, seen: pl.DataFrame, decision: Decision, now: datetime) -> UUID:
    """One row for each alert: in the log for ever, in `decisions` until the next."""
    decision_id = uuid4()
    kept = pl.lit(None, pl.String) if decision.status == "new" else pl.col("group_assignee")
    rows = seen.select(
        "tenant", "alert_id", "group_id", "priority_rank",
        status=pl.lit(decision.status),
        close_reason=pl.lit(decision.close_reason, pl.String),
        assignee=pl.coalesce(pl.lit(decision.assignee or None, pl.String), kept),
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
