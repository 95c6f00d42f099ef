"""Triage and allow-list in the Prefect UI."""

from datetime import datetime
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.runs import triage_run
from tasks.triage.allow_list import Entry
from tasks.triage.decision import Decision
from tasks.triage.selection import Filter


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
    """Decide on alert groups or alerts: start work on them, close them with a reason, or set them back to new.

    Name groups or alerts by ID, or select alerts that are not closed with the filters. With filters, the run first
    counts the alerts; to decide, start it again with that number as `confirm`. If a value is invalid, nothing changes.

    Args:
        by: Your name.
        status: The new status.
        close_reason: Why the alerts are closed. Required with the status closed, and not allowed with another one.
        groups: IDs of groups, or the first characters of them, separated by blanks or commas.
        alerts: IDs of single alerts, in the same form.
        assignee: Who works on the alerts. If empty, the assignee stays, except that the status new removes it.
        comment: What others should know about the decision.
        priority: Select alerts of this priority.
        file_sha256: Select alerts of this file.
        sender: Select alerts of mail from this address.
        sender_domain: Select alerts of mail from this domain.
        detected_before: Select alerts detected before this time.
        tenant: Select alerts of this tenant.
        confirm: The number of alerts that the filters found. With 0, the run only counts them.
    """
    reason = None if close_reason == "none" else close_reason
    return triage_run.run_triage(
        Decision(status, by, reason, assignee.strip() or None, comment.strip() or None),
        groups,
        alerts,
        Filter(
            tenant.strip() or None,
            None if priority == "any" else priority,
            file_sha256.strip() or None,
            sender.strip() or None,
            sender_domain.strip() or None,
            detected_before,
        ),
        confirm,
    )


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

    Without `confirm`, the action add only counts the stored alerts that the entry would hide.

    Args:
        author: Your name, as the author of the entry.
        action: Add an entry, or remove the entry with this kind and value.
        kind: What the value is.
        value: SHA-256 of a file, an address, or a domain, which does not include its subdomains.
        reason: Why these alerts need not be seen. Required to add an entry.
        expires_at: When the entry expires. If empty, it does not expire.
        tenant: The tenant that the entry applies to.
        confirm: Add the entry. Without it, the run only counts.
    """
    entry = Entry(kind, value, reason, author, expires_at, tenant)
    return triage_run.run_allow_list(action, entry, confirm=confirm)
