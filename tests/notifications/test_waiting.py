"""Messages that could not be sent: stored, due with back-off, gone when they are sent or expire."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from tasks.notifications import waiting
from tasks.notifications.waiting import EXPIRES_AFTER, FIRST_DELAY, LONGEST_DELAY, delay_after
from tasks.store.store import Store
from tests.scans import begun, rows, source

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHAT, MAIL = "slack-webhook/security", "sendgrid-email/on-call"
FACTS = {"tenant": "default", "groups": 3}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = begun(tmp_path)
    with store.transaction() as transaction:
        for number, block in ((1, CHAT), (2, CHAT), (1, MAIL)):
            waiting.store_message(
                transaction, UUID(int=number), block, "attachment-alerts.digest", "3 groups", FACTS, "down", NOW
            )
    return store


def claim(store: Store, after: timedelta, *blocks: str, working: str = "") -> list[tuple[int, str, int]]:
    with store.transaction() as transaction:
        due = waiting.claim_due(transaction, blocks, [working], NOW + after)
        assert all(message.facts == FACTS for message in due)
        return sorted((message.event_id.int, message.block, message.attempts) for message in due)


def test_message_is_due_after_its_delay_for_one_run_only(store: Store) -> None:
    assert claim(store, FIRST_DELAY - MINUTE, CHAT, MAIL) == []
    assert claim(store, FIRST_DELAY, CHAT) == [(1, CHAT, 1), (2, CHAT, 1)]
    assert claim(store, FIRST_DELAY, CHAT, MAIL) == [(1, MAIL, 1)]  # the others are being sent
    assert claim(store, FIRST_DELAY + timedelta(minutes=11), CHAT) == [(1, CHAT, 1), (2, CHAT, 1)]  # by a killed run


def test_all_messages_of_a_block_that_works_again_are_due(store: Store) -> None:
    assert claim(store, MINUTE, CHAT, MAIL, working=CHAT) == [(1, CHAT, 1), (2, CHAT, 1)]


def test_message_is_claimed_by_one_run_only_although_its_block_works(store: Store) -> None:
    assert claim(store, MINUTE, CHAT, working=CHAT) == [(1, CHAT, 1), (2, CHAT, 1)]
    assert claim(store, 2 * MINUTE, CHAT, working=CHAT) == []
    assert claim(store, 12 * MINUTE, CHAT, working=CHAT) == [(1, CHAT, 1), (2, CHAT, 1)]  # the first was killed


@pytest.mark.parametrize(("about", "tenant"), [("acme", "north"), ("no connector", "default")])
def test_message_without_a_tenant_belongs_to_that_of_its_connector(tmp_path: Path, about: str, tenant: str) -> None:
    store = begun(tmp_path, source(1, "north")._replace(name="acme"))
    with store.transaction() as transaction:
        waiting.store_message(
            transaction, UUID(int=1), CHAT, "attachment-alerts.connector.lost", about, {}, "down", NOW
        )
    assert rows(store, "SELECT tenant FROM waiting_messages") == [(tenant,)]


def test_failed_attempt_delays_the_message_and_a_sent_one_is_removed(store: Store) -> None:
    with store.transaction() as transaction:
        first, second = waiting.claim_due(transaction, [CHAT], [], NOW + FIRST_DELAY)
        waiting.record_attempts(transaction, [(first, None), (second, "still down")], NOW + FIRST_DELAY)
        assert waiting.count_waiting(transaction) == 2
    found = rows(
        store, f"SELECT event_id, attempts, next_attempt_at, error FROM waiting_messages WHERE block = '{CHAT}'"
    )
    assert found == [(UUID(int=2), 2, NOW + 3 * FIRST_DELAY, "still down")]
    assert rows(store, "SELECT DISTINCT messages_waiting FROM connector_health") == [(2,)]


def test_delay_doubles_up_to_the_longest_one() -> None:
    delays = [delay_after(attempts) for attempts in range(1, 100)]
    assert delays[:3] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert delays == sorted(delays) and delays[-1] == LONGEST_DELAY


def test_message_expires(store: Store) -> None:
    with store.transaction() as transaction:
        assert waiting.remove_expired(transaction, NOW + EXPIRES_AFTER - MINUTE) == []
        assert sorted(waiting.remove_expired(transaction, NOW + EXPIRES_AFTER)) == [MAIL, CHAT, CHAT]
        assert waiting.count_waiting(transaction) == 0


def test_repeated_event_is_stored_once(store: Store) -> None:
    with store.transaction() as transaction:
        waiting.store_message(transaction, UUID(int=1), CHAT, "x", "y", {}, "again", NOW + FIRST_DELAY)
        assert waiting.count_waiting(transaction) == 3
