"""The alerts that a decision applies to: by ID, or by a filter."""

from datetime import datetime
from typing import NamedTuple

import polars as pl

from tasks.errors import TriageRefused
from tasks.sanitize import plain
from tasks.store.connection import Transaction
from tasks.store.id_prefix import resolve_alerts, resolve_groups
from tasks.triage.decision import Decision, would_change

HIDES = "The {} is hidden by the allow-list. Remove the entry first (`attachment-alerts allow-list list`)."
SEEN = """
    SELECT
        replace(a.scan_id::VARCHAR, '-', '') AS alert_id, replace(a.group_id::VARCHAR, '-', '') AS group_id, a.tenant,
        a.status, a.close_reason, a.assignee, a.priority_rank, a.decided_at, a.detected_at, a.shown,
        g.assignee AS group_assignee
    FROM internal.standing a JOIN internal.groups g ON a.group_id = g.group_id
"""


class Filter(NamedTuple):
    """Conditions on alerts that are not closed; all of them must hold."""

    tenant: str | None = None
    priority: str | None = None
    file_sha256: str | None = None
    sender: str | None = None
    sender_domain: str | None = None
    before: datetime | None = None
    """detected before"""

    def check_unset(self) -> None:
        """Refuse a filter beside IDs: it is unclear which of them is meant."""
        if any(value is not None for value in self):
            raise TriageRefused("IDs and filters cannot be combined. Use one of them.")


def find_alerts_by_id(
    transaction: Transaction, groups: list[str], alerts: list[str], decision: Decision
) -> pl.DataFrame:
    """The alerts (SEEN) of these groups and alerts. Raises TriageRefused for an unknown, hidden or unchanged one."""
    of_groups, single = resolve_groups(transaction, groups), resolve_alerts(transaction, alerts)
    if of_groups.is_empty() and single.is_empty():
        raise TriageRefused("Nothing is selected. Give the IDs of groups or alerts, or at least one filter.")
    seen = transaction.frame(
        f"""{SEEN} WHERE (a.shown AND a.group_id IN (SELECT id::UUID FROM of_groups))
            OR a.scan_id IN (SELECT id::UUID FROM single)""",
        of_groups=of_groups,
        single=single,
    )
    _check_visible(seen, of_groups, single)
    changing = seen.filter(would_change(decision))
    for kind, asked in (("group", of_groups), ("alert", single)):
        idle = asked.join(changing, left_on="id", right_on=f"{kind}_id", how="anti")
        if not idle.is_empty():
            first = idle.row(0, named=True)
            state = (
                seen.filter(pl.col(f"{kind}_id") == first["id"])
                .sort("decided_at", nulls_last=False)
                .row(-1, named=True)
            )
            raise TriageRefused(f"The {kind} {first['asked']} {_describe(state)}. Nothing was changed.")
    return seen


def _check_visible(seen: pl.DataFrame, of_groups: pl.DataFrame, single: pl.DataFrame) -> None:
    hidden = [
        f"alert {prefix}"
        for prefix in single.join(seen.filter(~pl.col("shown")), left_on="id", right_on="alert_id")["asked"]
    ]
    hidden += [
        f"group {prefix}" for prefix in of_groups.join(seen, left_on="id", right_on="group_id", how="anti")["asked"]
    ]
    if hidden:
        raise TriageRefused(HIDES.format(hidden[0]))


def _describe(state: dict[str, object]) -> str:
    text = f"is already {str(state['status']).replace('_', ' ')}"
    if state["close_reason"]:
        text += f" as {str(state['close_reason']).replace('_', ' ')}"
    if state["assignee"]:
        text += f", assigned to {plain(str(state['assignee']))}"
    if isinstance(state["decided_at"], datetime):
        text += f", since {state['decided_at']:%Y-%m-%d %H:%M} UTC"
    return text


def find_alerts_by_filter(transaction: Transaction, selected: Filter, decision: Decision) -> pl.DataFrame:
    """The alerts (SEEN) that match the filter now and that the decision would change."""
    wanted = {name: value for name, value in selected._asdict().items() if value is not None}
    columns = {"before": "a.detected_at < $before", "sender_domain": "domain_of(a.sender) = $sender_domain"}
    conditions = ["a.shown", "a.status <> 'closed'"]
    conditions += [columns.get(name, f"a.{name} = ${name}") for name in wanted]
    values = {name: value.lower() if name.startswith(("file", "sender")) else value for name, value in wanted.items()}
    return transaction.frame(f"{SEEN} WHERE {' AND '.join(conditions)}", values).filter(would_change(decision))
