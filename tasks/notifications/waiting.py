"""Messages that a notification block could not send. Later runs send them again, with back-off, until they expire."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tasks.store.connection import Transaction

FIRST_DELAY, LONGEST_DELAY = timedelta(minutes=5), timedelta(hours=4)
EXPIRES_AFTER = timedelta(days=3)
CLAIM_LASTS = timedelta(minutes=10)  # as in the outbox: an older claim was left behind by a run that was killed

INSERT = """
    INSERT INTO internal.messages BY NAME
    SELECT
        $event_id AS event_id, $tenant AS tenant, $block AS block, $event AS event, $about AS about, $facts AS facts,
        $now AS created_at, 1 AS attempts, $next AS next_attempt_at, $expires AS expires_at, $error AS error
"""
DUE = """
    SELECT event_id, block, event, about, facts, created_at, attempts FROM internal.messages
    WHERE list_contains($blocks, block) AND (next_attempt_at <= $now OR list_contains($working, block))
    ORDER BY created_at, event_id
"""


class WaitingMessage(NamedTuple):
    """A message to one block; what its text is made from, and its earlier attempts."""

    event_id: UUID
    block: str
    event: str
    about: str
    facts: dict[str, Any]
    created_at: datetime
    attempts: int


def store_message(
    transaction: Transaction, event_id: UUID, block: str, event: str, about: str, facts: dict[str, Any],
    error: str, now: datetime,
) -> None:  # fmt: skip
    """Store a message after its first attempt; of a repeated event, the stored one stays."""
    if transaction.rows(
        "SELECT 1 FROM internal.messages WHERE event_id = $event_id AND block = $block",
        {"event_id": event_id, "block": block},
    ):
        return
    values = {"event_id": event_id, "tenant": facts.get("tenant", "default"), "block": block, "event": event}
    values |= {"about": about, "facts": json.dumps(facts), "now": now, "next": now + FIRST_DELAY}
    transaction.run(INSERT, values | {"expires": now + EXPIRES_AFTER, "error": error})


def claim_due(
    transaction: Transaction, blocks: Collection[str], working: Collection[str], now: datetime
) -> list[WaitingMessage]:
    """Claim the messages to these blocks whose time has come; of the `working` ones all, because they work again."""
    rows = transaction.rows(DUE, {"blocks": list(blocks), "working": list(working), "now": now})
    for event_id, block, *_ in rows:
        _update(transaction, event_id, block, "next_attempt_at = $at", at=now + CLAIM_LASTS)
    return [WaitingMessage(*row)._replace(facts=json.loads(row[4])) for row in rows]


def record_attempts(
    transaction: Transaction, attempts: Iterable[tuple[WaitingMessage, str | None]], now: datetime
) -> None:
    """Remove the messages that were sent (error None), and set the next attempt of the others."""
    for message, error in attempts:
        if error is None:
            remove_message(transaction, message.event_id, message.block)
        else:
            change = "attempts = $attempts, next_attempt_at = $at, error = $error"
            tries = message.attempts + 1
            facts = {"attempts": tries, "at": now + delay_after(tries), "error": error}
            _update(transaction, message.event_id, message.block, change, **facts)


def _update(transaction: Transaction, event_id: UUID, block: str, change: str, **values: Any) -> None:
    sql = f"UPDATE internal.messages SET {change} WHERE event_id = $event_id AND block = $block"
    transaction.run(sql, {"event_id": event_id, "block": block, **values})


def delay_after(attempts: int) -> timedelta:
    """Doubles with each attempt."""
    doublings: int = min(attempts - 1, 16)
    return min(FIRST_DELAY * 2.0**doublings, LONGEST_DELAY)


def remove_message(transaction: Transaction, event_id: UUID, block: str) -> None:
    transaction.run(
        "DELETE FROM internal.messages WHERE event_id = $event_id AND block = $block",
        {"event_id": event_id, "block": block},
    )


def remove_expired(transaction: Transaction, now: datetime) -> list[str]:
    """Remove the messages whose time to be sent is over; returns the blocks that did not send them."""
    expired = transaction.rows("SELECT block FROM internal.messages WHERE expires_at <= $now", {"now": now})
    transaction.run("DELETE FROM internal.messages WHERE expires_at <= $now", {"now": now})
    return [block for (block,) in expired]


def count_waiting(transaction: Transaction) -> int:
    """Messages that wait for a block, and urgent events that a run has tried to send to the Prefect server."""
    [(count,)] = transaction.rows("SELECT count(*) FROM waiting_messages")
    return int(count)
