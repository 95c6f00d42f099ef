"""Stores rejects: records that failed validation, each once, complete and with the reason."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

from tasks.source import Source
from tasks.store.connection import Transaction


def load_rejects(
    transaction: Transaction, source: Source, rejects: Iterable[pl.DataFrame], resolved: Iterable[str]
) -> tuple[Counter[str], int]:
    """Load the rejects of a slice (REJECT_SCHEMA, in batches). `resolved`: ids of rejects whose record is now accepted.

    Returns the number of records for each reason, and the number of rejects that are new, open again or resolved.
    """
    changed = 0
    reasons: Counter[str] = Counter()
    for batch in rejects:
        reasons.update(dict(batch["reason"].value_counts().iter_rows()))
        changed += _store(transaction, source, batch)
    return reasons, changed + _resolve(transaction, resolved)


def _store(transaction: Transaction, source: Source, rejects: pl.DataFrame) -> int:
    """Store each reject once, with first and last seen; returns the number of new and reopened ones."""
    if rejects.is_empty():
        return 0
    once = rejects.group_by("reject_id", maintain_order=True).agg(
        pl.col("reason", "raw", "dangerous").first(),
        first_seen_at=pl.col("fetched_at").min(),
        last_seen_at=pl.col("fetched_at").max(),
    )
    transaction.run(
        """
        UPDATE internal.rejects r SET last_seen_at = greatest(r.last_seen_at, o.last_seen_at)
        FROM once o WHERE r.reject_id = o.reject_id::UUID
        """,
        once=once,
    )
    opened = transaction.rows(
        "UPDATE internal.rejects SET resolved_at = NULL "
        "WHERE resolved_at IS NOT NULL AND reject_id IN (SELECT reject_id::UUID FROM once)",
        once=once,
    )[0][0]
    new = transaction.rows(
        """
        INSERT INTO internal.rejects BY NAME
        SELECT reject_id::UUID AS reject_id, $tenant AS tenant, $id AS connector_id, reason, raw, dangerous,
            first_seen_at, last_seen_at
        FROM once WHERE reject_id::UUID NOT IN (SELECT reject_id FROM internal.rejects)
        """,
        {"tenant": source.tenant, "id": source.connector_id},
        once=once,
    )[0][0]
    return int(opened) + int(new)


def _resolve(transaction: Transaction, resolved: Iterable[str]) -> int:
    """Mark rejects as resolved; returns their number."""
    done = pl.DataFrame({"reject_id": list(resolved)}, schema={"reject_id": pl.String})
    if not done.is_empty():
        transaction.run(
            "UPDATE internal.rejects SET resolved_at = $now WHERE reject_id IN (SELECT reject_id::UUID FROM done)",
            {"now": datetime.now(UTC)},
            done=done,
        )
    return len(done)
