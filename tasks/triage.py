"""Triage (design: Triage): what people decide on alerts, stored beside them for each alert they saw.

A decision on a group is one on every alert that the group then shows; what the allow-list hides was not seen. All is
checked inside the transaction that writes it, so two people who decide at once meet each other's decision.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID, uuid4

import polars as pl

from tasks.alerts import MOMENT
from tasks.errors import TriageRefused
from tasks.existing import existing
from tasks.groups import refresh_status
from tasks.resolving import resolve_alerts, resolve_groups
from tasks.suppression import end_due
from tasks.untrusted import plain

if TYPE_CHECKING:
    from tasks.database import Store, Transaction

Status = Literal["new", "in_progress", "closed"]
CloseReason = Literal["true_positive", "false_positive", "benign", "duplicate"]

WORDS_LIMIT = 4000  # characters of a comment
SEEN = """
    SELECT
        replace(a.scan_id::VARCHAR, '-', '') AS alert_id, replace(a.group_id::VARCHAR, '-', '') AS group_id, a.tenant,
        a.status, a.close_reason, a.assignee, a.priority_rank, a.decided_at, a.detected_at, a.shown,
        g.assignee AS group_assignee
    FROM internal.standing a JOIN internal.groups g ON a.group_id = g.group_id
"""


class Decision(NamedTuple):
    """What somebody decides."""

    status: Status
    by: str
    close_reason: CloseReason | None = None
    assignee: str | None = None
    """none: who it was before; of a decision that makes alerts new again, nobody"""
    comment: str | None = None


class Filter(NamedTuple):
    """Which alerts that are not closed, by what they are: all conditions hold."""

    tenant: str | None = None
    priority: str | None = None
    file_sha256: str | None = None
    sender: str | None = None
    sender_domain: str | None = None
    before: datetime | None = None
    """detected before"""

    def refuse_any(self) -> None:
        """Refuse a filter beside ids: which of the two was meant?"""
        if any(value is not None for value in self):
            raise TriageRefused("Name ids or choose by a filter, not both. Nothing was changed.")


class Found(NamedTuple):
    """What a filter has found: shown to a person before it is decided on."""

    chosen: Filter
    alerts: pl.DataFrame
    """alert_id, group_id"""

    @property
    def groups(self) -> int:
        """How many groups have these alerts."""
        return self.alerts["group_id"].n_unique()


class Decided(NamedTuple):
    """What a decision came to."""

    decision_id: UUID
    alerts: int
    groups: list[str]
    """ids of the groups with these alerts"""


def find(store: "Store", chosen: Filter, decision: Decision) -> Found:
    """The alerts that a filter finds and that the decision would change. Raises TriageRefused."""
    check(decision)
    if all(value is None for value in chosen):
        raise TriageRefused("Name what to decide on: ids of groups or alerts, or at least one filter.")
    with existing(store) as transaction:
        alerts = _chosen(transaction, chosen, decision).select("alert_id", "group_id")
    if alerts.is_empty():
        raise TriageRefused("No alert that is not closed fits that choice and would change.")
    return Found(chosen, alerts)


def decide(
    store: "Store",
    decision: Decision,
    *,
    groups: list[str] | None = None,
    alerts: list[str] | None = None,
    found: Found | None = None,
) -> Decided:
    """Store a decision on groups and alerts by id or beginning of it, or on alerts that `find` found.

    Of what was found, alerts that do not fit the filter any more, or that somebody has decided on like that in the
    meantime, are left alone. Returns when the decision is published. Raises TriageRefused.
    """
    with existing(store) as transaction:
        now = datetime.now(UTC)
        decided = write_decision(transaction, decision, now, groups=groups, alerts=alerts, found=found)
        end_due(transaction, now)  # afterwards: nobody has seen yet what is shown again
        transaction.publish = True
    return decided


def write_decision(
    transaction: "Transaction",
    decision: Decision,
    now: datetime,
    *,
    groups: list[str] | None = None,
    alerts: list[str] | None = None,
    found: Found | None = None,
) -> Decided:
    """What `decide` does, inside a transaction that is open already."""
    check(decision)
    if found is None:
        seen = _named(transaction, groups or [], alerts or [], decision)
    else:
        ids = found.alerts.select("alert_id")
        seen = _chosen(transaction, found.chosen, decision).join(ids, on="alert_id", how="semi")
    if seen.is_empty():
        raise TriageRefused("There is no alert left to decide on: all have changed or been closed in the meantime.")
    decision_id = _write(transaction, seen, decision, now)
    concerned = seen["group_id"].unique(maintain_order=True)
    refresh_status(transaction, concerned, now)
    transaction.changed = True
    return Decided(decision_id, len(seen), [str(UUID(each)) for each in concerned])


def check(decision: Decision) -> None:
    """Refuse a decision that makes no sense whatever it is about."""
    if decision.status == "closed" and decision.close_reason is None:
        raise TriageRefused(
            "Closing needs a reason: true_positive, false_positive, benign or duplicate. Give one and try again."
        )
    if decision.status != "closed" and decision.close_reason is not None:
        raise TriageRefused(f"A close reason goes with the status closed, not with {decision.status}. Leave one out.")
    if not decision.by.strip():
        raise TriageRefused("Say who decides.")
    if decision.comment and len(decision.comment) > WORDS_LIMIT:
        raise TriageRefused(f"A comment has at most {WORDS_LIMIT} characters. Shorten it.")


def changes(decision: Decision) -> pl.Expr:
    """Whether the decision changes anything about an alert of SEEN. A comment is news only on what is not closed."""
    same = (pl.col("status") == decision.status) & pl.col("close_reason").eq_missing(pl.lit(decision.close_reason))
    if decision.assignee:
        same &= pl.col("assignee").eq_missing(pl.lit(decision.assignee))
    commented = decision.comment is not None and decision.status != "closed"
    return ~same | commented


def _named(transaction: "Transaction", groups: list[str], alerts: list[str], decision: Decision) -> pl.DataFrame:
    """The alerts (SEEN) of these groups and alerts. Raises TriageRefused where one makes no sense."""
    whole, single = resolve_groups(transaction, groups), resolve_alerts(transaction, alerts)
    if whole.is_empty() and single.is_empty():
        raise TriageRefused("Name what to decide on: ids of groups or alerts, or at least one filter.")
    seen = transaction.frame(
        f"""{SEEN} WHERE (a.shown AND a.group_id IN (SELECT id::UUID FROM whole))
            OR a.scan_id IN (SELECT id::UUID FROM single)""",
        whole=whole,
        single=single,
    )
    _refuse_hidden(seen, whole, single)
    changing = seen.filter(changes(decision))
    for kind, asked in (("group", whole), ("alert", single)):
        idle = asked.join(changing, left_on="id", right_on=f"{kind}_id", how="anti")
        if not idle.is_empty():
            first = idle.row(0, named=True)
            state = (
                seen.filter(pl.col(f"{kind}_id") == first["id"])
                .sort("decided_at", nulls_last=False)
                .row(-1, named=True)
            )
            raise TriageRefused(f"The {kind} {first['asked']} {_already(state)}. Nothing was changed.")
    return seen


def _refuse_hidden(seen: pl.DataFrame, whole: pl.DataFrame, single: pl.DataFrame) -> None:
    hidden = [
        f"alert {each}"
        for each in single.join(seen.filter(~pl.col("shown")), left_on="id", right_on="alert_id")["asked"]
    ]
    hidden += [f"group {each}" for each in whole.join(seen, left_on="id", right_on="group_id", how="anti")["asked"]]
    if hidden:
        raise TriageRefused(
            f"The allow-list hides the {hidden[0]}. Remove its entry first (`attachment-alerts allow-list list`)."
        )


def _already(state: dict[str, object]) -> str:
    text = f"is {str(state['status']).replace('_', ' ')} already"
    if state["close_reason"]:
        text += f" as {str(state['close_reason']).replace('_', ' ')}"
    if state["assignee"]:
        text += f", assigned to {plain(str(state['assignee']))}"
    if isinstance(state["decided_at"], datetime):
        text += f", since {state['decided_at']:%Y-%m-%d %H:%M} UTC"
    return text


def _chosen(transaction: "Transaction", chosen: Filter, decision: Decision) -> pl.DataFrame:
    """The alerts (SEEN) that fit the filter now and that the decision would change."""
    wanted = {name: value for name, value in chosen._asdict().items() if value is not None}
    columns = {"before": "a.detected_at < $before", "sender_domain": "domain_of(a.sender) = $sender_domain"}
    conditions = ["a.shown", "a.status <> 'closed'"]
    conditions += [columns.get(name, f"a.{name} = ${name}") for name in wanted]
    values = {name: value.lower() if name.startswith(("file", "sender")) else value for name, value in wanted.items()}
    return transaction.frame(f"{SEEN} WHERE {' AND '.join(conditions)}", values).filter(changes(decision))


def _write(transaction: "Transaction", seen: pl.DataFrame, decision: Decision, now: datetime) -> UUID:
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
