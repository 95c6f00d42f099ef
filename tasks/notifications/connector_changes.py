"""What is to be told of a connector: lost, back, quiet, a gap in what it brought."""

from datetime import datetime

from tasks.notifications.changes import Cause
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.window import Slice


def cause_of(transaction: Transaction, source: Source, piece: Slice) -> Cause:
    """Why a slice is read. What the connector's first window held is its first look back, also later."""
    if piece.trigger != "poll":
        return piece.trigger
    first = transaction.rows(
        "SELECT first_end_at FROM internal.connectors WHERE connector_id = $id", {"id": source.connector_id}
    )
    return "first_look_back" if first and first[0][0] and piece.end <= first[0][0] else "poll"


STANDS = """
    SELECT
        c.told_state, h.state, c.told_gap_at,
        (SELECT max(end_at) FROM internal.holes WHERE connector_id = $connector_id) AS gap_at
    FROM internal.connectors c LEFT JOIN connector_health h ON c.tenant = h.tenant AND c.name = h.connector
    WHERE c.connector_id = $connector_id
"""


SAID = {"failing": "lost", "auth_failed": "lost", "quiet": "quiet", "ok": "back"}
"""State of the health → what is said of it; the others say nothing new of the connection."""


def record_connector_change(transaction: Transaction, source: Source, cause: Cause, now: datetime) -> str:
    """Write down how a connector fares at the end of a run, where that is not what was said of it last; its state."""
    known = {"connector_id": source.connector_id}
    told_state, state, told_gap_at, gap_at = transaction.rows(STANDS, known)[0]
    says = SAID.get(state, told_state)
    kinds = [f"connector_{says}"] if says != told_state and (says, told_state) != ("back", None) else []
    # A gap that became smaller is the same one, and no gap opens before another but by a change of the origin.
    kinds += ["gap_found"] if gap_at and (told_gap_at is None or gap_at > told_gap_at) else []
    if kinds or says != told_state:
        transaction.run(
            "UPDATE internal.connectors SET told_state = $says, told_gap_at = greatest(told_gap_at, $gap_at) "
            "WHERE connector_id = $connector_id",
            {"says": says, "gap_at": gap_at, **known},
        )
    for kind in kinds:
        transaction.run(
            "INSERT INTO internal.notices BY NAME SELECT uuid() AS notice_id, $tenant AS tenant, $kind AS kind, "
            '$connector_id AS connector_id, $cause AS cause, false AS digest, $now AS "at"',
            {"tenant": source.tenant, "kind": kind, "cause": cause, "now": now, **known},
        )
    return str(state or "removed")
