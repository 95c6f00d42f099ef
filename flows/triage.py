"""Decisions and the allow-list from the Prefect UI: forms over the functions that the command calls, too."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.artifacts.dashboard_writer import refresh_urgent
from flows.runs.maintenance_run import failed
from tasks.errors import AlertsError, TriageRefused
from tasks.formatting import several
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.triage import allow_list
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide, find
from tasks.triage.selection import Filter
from tasks.triage.suppression import Hidden


@flow(name="triage", flow_run_name="{by}: {status}")
def triage(
    by: str,
    status: Literal["in_progress", "closed", "new"],
    close_reason: Literal["none", "true_positive", "false_positive", "benign", "duplicate"] = "none",
    groups: str = "",
    alerts: str = "",
    assignee: str = "",
    comment: str = "",
    priority: Literal["any", "high", "medium"] = "any",
    file_sha256: str = "",
    sender: str = "",
    sender_domain: str = "",
    detected_before: datetime | None = None,
    tenant: str = "",
    confirm: Annotated[int, Field(ge=0)] = 0,
) -> State[Any]:
    """Decide on alert groups or alerts: take them into work, close them with a reason, or put them back.

    Name groups or alerts by id, or choose alerts that are not closed by what they are: then the run counts them, and
    decides once it is started again with that number as `confirm`. Nothing is changed unless all of it makes sense.

    Args:
        by: Who decides: your name.
        status: What is decided.
        close_reason: Why it is closed. Only with the status closed, and then needed.
        groups: Ids of groups, or their beginnings, with blanks or commas between them.
        alerts: Ids of single alerts, likewise.
        assignee: Who works on it. Empty leaves it as it is; `new` without one takes the assignee away.
        comment: What others should know about the decision.
        priority: Choose alerts of this priority.
        file_sha256: Choose alerts of this file.
        sender: Choose alerts of mail from this address.
        sender_domain: Choose alerts of mail from this domain.
        detected_before: Choose alerts detected before.
        tenant: Choose alerts of this organisation.
        confirm: How many alerts the choice found when it was counted: decide on them. With 0 the run only counts.
    """
    reason = None if close_reason == "none" else close_reason
    decision = Decision(status, by, reason, assignee.strip() or None, comment.strip() or None)
    level = None if priority == "any" else priority
    of_file, of_sender, of_domain = (text.strip() or None for text in (file_sha256, sender, sender_domain))
    chosen = Filter(tenant.strip() or None, level, of_file, of_sender, of_domain, detected_before)
    try:
        store = open_store(load_settings())
        if groups.strip() or alerts.strip():
            chosen.refuse_any()
            decided = decide(store, decision, groups=words(groups), alerts=words(alerts))
        else:
            found = find(store, chosen, decision)
            if not confirm:
                return _counted(len(found.alerts), found.groups)
            _refuse_others(len(found.alerts), confirm)
            decided = decide(store, decision, found=found)
    except AlertsError as error:
        return failed(error)
    refresh_urgent(store)
    of = f"{several(decided.alerts, 'alert')} of {several(len(decided.groups), 'group')}"
    says = f"{of} {'is' if decided.alerts == 1 else 'are'} {status.replace('_', ' ')}."
    return Completed(message=says, data={**decided._asdict(), "decision_id": str(decided.decision_id)})


@flow(name="allow-list", flow_run_name="{action} {kind}")
def allow_list_flow(
    author: str,
    action: Literal["add", "remove"],
    kind: Literal["hash", "sender", "sender_domain"],
    value: str,
    reason: str = "",
    expires_at: datetime | None = None,
    tenant: str = "default",
    confirm: bool = False,
) -> State[Any]:
    """Hide the alerts of a file, a sender or a sender domain, or show them again.

    Adding counts the stored alerts that it would hide, and hides them once it is started again with `confirm`.

    Args:
        author: Who answers for the entry: your name.
        action: Add an entry, or remove the one with this kind and value.
        kind: What the value is.
        value: SHA-256 of a file, an address, or a domain without its subdomains.
        reason: Why these alerts need not be seen. Needed to add.
        expires_at: When the entry ends by itself. Empty: never.
        tenant: The organisation it is for.
        confirm: Really add it. Without it the run only counts.
    """
    entry = allow_list.Entry(kind, value, reason, author, expires_at, tenant)
    try:
        store = open_store(load_settings())
        if action == "remove":
            ended = allow_list.remove(store, [allow_list.active_id(store, entry)])
            refresh_urgent(store)
            return Completed(message=f"{several(ended.shown_again, 'alert')} shown again.", data=ended._asdict())
        hidden = allow_list.would_hide_now(store, entry)
        if not confirm:
            return Completed(
                name="Counted",
                message=f"It would hide {words_of(hidden)}. Start it again with `confirm` to add it.",
                data=hidden._asdict(),
            )
        entry_id, hidden = allow_list.add(store, entry)
    except AlertsError as error:
        return failed(error)
    refresh_urgent(store)
    return Completed(message=f"It hides {words_of(hidden)}.", data={"entry_id": str(entry_id), **hidden._asdict()})


def words(text: str) -> list[str]:
    """What stands between blanks and commas."""
    return [word for word in re.split(r"[\s,;]+", text) if word]


def words_of(hidden: Hidden) -> str:
    """How much an entry hides."""
    return f"{hidden.alerts} stored alerts and all of {hidden.groups} groups"


def _refuse_others(alerts: int, expected: int) -> None:
    """Refuse to decide on other alerts than a person was told of."""
    if alerts != expected:
        raise TriageRefused(
            f"The choice finds {alerts} alerts now, not the {expected} to confirm. Nothing was changed: start it again "
            f"with {alerts} as `confirm` if you mean these."
        )


def _counted(alerts: int, groups: int) -> State[Any]:
    says = f"{alerts} alerts of {groups} groups would change. Start it again with {alerts} as `confirm` to decide."
    return Completed(name="Counted", message=says, data={"alerts": alerts, "groups": groups})
