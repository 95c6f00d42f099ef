"""Notices about a connector: connection lost or restored, no records, a gap in coverage."""

from datetime import datetime

from tasks.notifications.changes import Cause
from tasks.source import Source
from tasks.store.connection import Transaction
from tasks.window import Slice


def cause_of(transaction: Transaction, source: Source, slice_: Slice) -> Cause:
    """Why a slice is fetched. Slices of the first window belong to the first look-back, also in later polls."""
    if slice_.trigger != "poll":
        return slice_.trigger
    first = transaction.rows(
        "SELECT first_end_at FROM internal.connectors WHERE connector_id = $id", {"id": source.connector_id}
    )
    return "first_look_back" if first and first[0][0] and slice_.end <= first[0][0] else "poll"


CURRENT_STATE = """
    SELECT
        c.notified_state, h.state, c.notified_gap_at,
        (SELECT max(end_at) FROM internal.holes WHERE connector_id = $connector_id) AS gap_at
    FROM internal.connectors c LEFT JOIN connector_health h ON c.tenant = h.tenant AND c.name = h.connector
    WHERE c.connector_id = $connector_id
"""


KIND_OF_STATE = {"failing": "lost", "auth_failed": "lost", "quiet": "quiet", "ok": "back"}
"""Health state → kind of notice. Other states do not change the connection."""


def record_connector_change(transaction: Transaction, source: Source, cause: Cause, now: datetime) -> str:
    """Store notices if the connector's state differs from the one of the last notice; returns the state."""
    own = {"connector_id": source.connector_id}
    last_kind, state, last_gap_at, gap_at = transaction.rows(CURRENT_STATE, own)[0]
    kind = KIND_OF_STATE.get(state, last_kind)
    is_first_success = (kind, last_kind) == ("back", None)
    kinds = [f"connector_{kind}"] if kind != last_kind and not is_first_success else []
    # A gap that became smaller is not new. A new gap ends later than all others, unless the origin changed.
    kinds += ["gap_found"] if gap_at and (last_gap_at is None or gap_at > last_gap_at) else []
    if kinds or kind != last_kind:
        transaction.run(
            "UPDATE internal.connectors SET notified_state = $state, "
            "notified_gap_at = greatest(notified_gap_at, $gap_at) WHERE connector_id = $connector_id",
            {"state": kind, "gap_at": gap_at, **own},
        )
    for notice_kind in kinds:
        transaction.run(
            "INSERT INTO internal.notices BY NAME SELECT uuid() AS notice_id, $tenant AS tenant, $kind AS kind, "
            '$connector_id AS connector_id, $cause AS cause, false AS digest, $now AS "at"',
            {"tenant": source.tenant, "kind": notice_kind, "cause": cause, "now": now, **own},
        )
    return str(state or "removed")
