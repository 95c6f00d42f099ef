"""A decision about alerts: its validation, and what it would change."""

from typing import Literal, NamedTuple

import polars as pl

from tasks.errors import TriageRefused

Status = Literal["new", "in_progress", "closed"]
CloseReason = Literal["true_positive", "false_positive", "benign", "duplicate"]
COMMENT_LIMIT = 4000  # characters of a comment


class Decision(NamedTuple):
    status: Status
    by: str
    close_reason: CloseReason | None = None
    assignee: str | None = None
    """None keeps the assignee, except that the status new removes it"""
    comment: str | None = None


def validate_decision(decision: Decision) -> None:
    """Raise TriageRefused for a decision that is invalid for any alert."""
    if decision.status == "closed" and decision.close_reason is None:
        raise TriageRefused("The close reason is missing. Use true_positive, false_positive, benign or duplicate.")
    if decision.status != "closed" and decision.close_reason is not None:
        raise TriageRefused(f"A close reason cannot be combined with the status {decision.status}. Omit one of them.")
    if not decision.by.strip():
        raise TriageRefused("The author of the decision is missing. Give your name.")
    if decision.comment and len(decision.comment) > COMMENT_LIMIT:
        raise TriageRefused(f"The comment is longer than {COMMENT_LIMIT} characters. Shorten it.")


def would_change(decision: Decision) -> pl.Expr:
    """Whether the decision changes an alert of SEEN. A comment alone changes only alerts that it does not close."""
    same = (pl.col("status") == decision.status) & pl.col("close_reason").eq_missing(pl.lit(decision.close_reason))
    if decision.assignee:
        same &= pl.col("assignee").eq_missing(pl.lit(decision.assignee))
    commented = decision.comment is not None and decision.status != "closed"
    return ~same | commented
