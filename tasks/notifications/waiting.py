"""Messages that a notification block could not send. Later runs send them again, with back-off, until they expire."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tasks.notifications.outbox import CLAIM_LASTS
from tasks.store.connection import Transaction

FIRST_DELAY, LONGEST_DELAY = timedelta(minutes=5), timedelta(hours=4)
EXPIRES_AFTER = timedelta(days=3)

INSERT = """
    INSERT INTO internal.messages BY NAME
    SELECT
        $event_id AS event_id, $block AS block, $event AS event, $about AS about, $facts AS facts,
        $now AS created_at, 1 AS attempts, $next AS next_attempt_at, $expires AS expires_at, $error AS error,
        coalesce(
            $tenant, (SELECT tenant FROM internal.connectors WHERE name = $about AND removed_at IS NULL), 'default'
        ) AS tenant
"""
CLAIM_DUE = """
    UPDATE internal.messages SET claimed_at = $now
    WHERE list_contains($blocks, block) AND (next_attempt_at <= $now OR list_contains($working, block))
        AND (claimed_at IS NULL OR claimed_at < $claim_expired)
    RETURNING event_id, block, event, about, facts, created_at, attempts
"""
POSTPONE = """
    UPDATE internal.messages SET attempts = $attempts, next_attempt_at = $at, claimed_at = NULL, error = $error
    WHERE event_id = $event_id AND block = $block
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
    values = {"event_id": event_id, "tenant": facts.get("tenant"), "block": block, "event": event}
    values |= {"about": about, "facts": json.dumps(facts), "now": now, "next": now + FIRST_DELAY}
    transaction.run(INSERT, values | {"expires": now + EXPIRES_AFTER, "error": error})


def claim_due(
    transaction: Transaction, blocks: Collection[str], working: Collection[str], now: datetime
) -> list[WaitingMessage]:
    """Claim the messages to these blocks that are due, and all those to the `working` ones, for this run only."""
    facts = {"blocks": list(blocks), "working": list(working), "now": now, "claim_expired": now - CLAIM_LASTS}
    claimed = [WaitingMessage(*row)._replace(facts=json.loads(row[4])) for row in transaction.rows(CLAIM_DUE, facts)]
    return sorted(claimed, key=lambda message: (message.created_at, message.event_id))


def record_attempts(
    transaction: Transaction, attempts: Iterable[tuple[WaitingMessage, str | None]], now: datetime
) -> None:
    """Remove the messages that were sent (error None), and set the next attempt of the others."""
    for message, error in attempts:
        if error is None:
            remove_message(transaction, message.event_id, message.block)
        else:
            attempts_made = message.attempts + 1
            key = {"event_id": message.event_id, "block": message.block}
            values = {"attempts": attempts_made, "at": now + delay_after(attempts_made), "error": error}
            transaction.run(POSTPONE, key | values)


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
    expired = transaction.rows("DELETE FROM internal.messages WHERE expires_at <= $now RETURNING block", {"now": now})
    return [block for (block,) in expired]


def count_waiting(transaction: Transaction) -> int:
    """Messages that wait for a block, and urgent events that a run has tried to send to the Prefect server."""
    [(count,)] = transaction.rows("SELECT count(*) FROM waiting_messages")
    return int(count)
