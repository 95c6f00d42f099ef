"""Notices about a connector: connection lost or restored, no records, a gap in coverage."""

from datetime import datetime

from tasks.notifications.changes import Cause
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.window import Slice


def cause_of(transaction: Transaction, source: Source, piece: Slice) -> Cause:
    """Why a slice is read. Slices of a connector's first window belong to the first look-back, also in later polls."""
    if piece.trigger != "poll":
        return piece.trigger
    first = transaction.rows(
        "SELECT first_end_at FROM internal.connectors WHERE connector_id = $id", {"id": source.connector_id}
    )
    return "first_look_back" if first and first[0][0] and piece.end <= first[0][0] else "poll"


CURRENT_STATE = """
    SELECT
        c.told_state, h.state, c.told_gap_at,
        (SELECT max(end_at) FROM internal.holes WHERE connector_id = $connector_id) AS gap_at
    FROM internal.connectors c LEFT JOIN connector_health h ON c.tenant = h.tenant AND c.name = h.connector
    WHERE c.connector_id = $connector_id
"""


KIND_OF_STATE = {"failing": "lost", "auth_failed": "lost", "quiet": "quiet", "ok": "back"}
"""Health state → kind of notice. Other states are no change of the connection."""


def record_connector_change(transaction: Transaction, source: Source, cause: Cause, now: datetime) -> str:
    """Store notices if the connector's state differs from the one of the last notice; returns the state."""
    known = {"connector_id": source.connector_id}
    told_state, state, told_gap_at, gap_at = transaction.rows(CURRENT_STATE, known)[0]
    kind_now = KIND_OF_STATE.get(state, told_state)
    kinds = [f"connector_{kind_now}"] if kind_now != told_state and (kind_now, told_state) != ("back", None) else []
    # A gap that became smaller is not new. A new gap ends later than all others, unless the origin changed.
    kinds += ["gap_found"] if gap_at and (told_gap_at is None or gap_at > told_gap_at) else []
    if kinds or kind_now != told_state:
        transaction.run(
            "UPDATE internal.connectors SET told_state = $state, told_gap_at = greatest(told_gap_at, $gap_at) "
            "WHERE connector_id = $connector_id",
            {"state": kind_now, "gap_at": gap_at, **known},
        )
    for kind in kinds:
        transaction.run(
            "INSERT INTO internal.notices BY NAME SELECT uuid() AS notice_id, $tenant AS tenant, $kind AS kind, "
            '$connector_id AS connector_id, $cause AS cause, false AS digest, $now AS "at"',
            {"tenant": source.tenant, "kind": kind, "cause": cause, "now": now, **known},
        )
    return str(state or "removed")
