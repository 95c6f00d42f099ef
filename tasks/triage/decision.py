"""What somebody decides about alerts: whether it makes sense, and what it would change."""

from typing import Literal, NamedTuple

import polars as pl

from tasks.errors import TriageRefused

Status = Literal["new", "in_progress", "closed"]
CloseReason = Literal["true_positive", "false_positive", "benign", "duplicate"]
WORDS_LIMIT = 4000  # characters of a comment


class Decision(NamedTuple):
    """What somebody decides."""

    status: Status
    by: str
    close_reason: CloseReason | None = None
    assignee: str | None = None
    """none: who it was before; of a decision that makes alerts new again, nobody"""
    comment: str | None = None


def validate_decision(decision: Decision) -> None:
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


def would_change(decision: Decision) -> pl.Expr:
    """Whether the decision changes anything about an alert of SEEN. A comment is news only on what is not closed."""
    same = (pl.col("status") == decision.status) & pl.col("close_reason").eq_missing(pl.lit(decision.close_reason))
    if decision.assignee:
        same &= pl.col("assignee").eq_missing(pl.lit(decision.assignee))
    commented = decision.comment is not None and decision.status != "closed"
    return ~same | commented
