"""Send the message about an event through the notification blocks that the site has named."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect import task
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed
from prefect.utilities.templating import find_placeholders

from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import AlertsError, ServiceUnavailable, SettingsError
from tasks.formatting import format_count
from tasks.notifications import waiting
from tasks.notifications.messages import Message, message
from tasks.notifications.waiting import WaitingMessage
from tasks.sanitize import plain
from tasks.settings import Settings, load_settings
from tasks.store.connection import Transaction
from tasks.store.factory import open_store
from tasks.store.store import Store

log = logging.getLogger("attachment_alerts.notify")

WEBHOOK_JSON = r'{"text": "{{subject}}\n{{body}}"}'
SETTING = "ATTACHMENT_ALERTS_NOTIFY"


def send_message(event: str, about: str, facts: dict[str, Any], event_id: UUID | None = None) -> State[Any]:
    """Send to every block that the setting names; the final state names those that failed.

    With the ID of the event, a message that could not be sent is stored, and later runs send it again.
    """
    try:
        settings = load_settings()
        names = block_names(settings)
        if not names:
            return Completed(name="Skipped", message=f"Nothing was sent: {SETTING} names no notification block.")
        text = message(event, about, facts)
        states = {name: send(name, text, return_state=True) for name in names}
        errors = {
            name: None if state.is_completed() else str(state.result(raise_on_failure=False))
            for name, state in states.items()
        }
        store = open_store(settings)
        left = 0
        if event_id and store.exists():
            _store_failed(store, event_id, event, about, facts, errors)
            left = send_waiting(store, [name for name, error in errors.items() if error is None])
    except AlertsError as error:
        return Failed(message=str(error))
    failures = [error for error in errors.values() if error]
    note = f" {waiting_sentence(left)}" if left else ""
    if failures:
        return Failed(message=" ".join(failures) + note)
    return Completed(message=f"{text.subject}: sent to {', '.join(names)}.{note}")


def block_names(settings: Settings) -> list[str]:
    """The notification blocks that the setting names."""
    return [name.strip() for name in settings.notify.split(",") if name.strip()]


def waiting_sentence(count: int) -> str:
    return f"{format_count(count, 'message')} could not be sent yet; later runs try again."


def _store_failed(
    store: Store, event_id: UUID, event: str, about: str, facts: dict[str, Any], errors: Mapping[str, str | None]
) -> None:
    with store.transaction() as transaction:
        before = waiting.count_waiting(transaction)
        for name, error in errors.items():
            if error is None:
                waiting.remove_message(transaction, event_id, name)
            else:
                waiting.store_message(transaction, event_id, name, event, about, facts, error, datetime.now(UTC))
        _publish_first_and_last(transaction, before)


def send_waiting(store: Store, working: Collection[str] = ()) -> int:
    """Send the stored messages that are due, and all of the `working` blocks; returns how many messages are left.

    After the first failure of a block, its other messages wait for its next attempt.
    """
    names = block_names(store.settings)
    with store.transaction() as transaction:
        before = waiting.count_waiting(transaction)
        expired = waiting.remove_expired(transaction, datetime.now(UTC))
        due = waiting.claim_due(transaction, names, working, datetime.now(UTC))
        if expired and not due:
            _publish_first_and_last(transaction, before)
    if expired:
        log.warning("%s expired unsent: %s.", format_count(len(expired), "message"), ", ".join(sorted(set(expired))))
    if not due:
        return before - len(expired)
    attempts: list[tuple[WaitingMessage, str | None]] = []
    failed: dict[str, str] = {}
    for stored in due:
        if stored.block not in failed:
            try:
                deliver(stored.block, _delayed(stored))
            except AlertsError as error:
                failed[stored.block] = str(error)
        attempts.append((stored, failed.get(stored.block)))
    with store.transaction() as transaction:
        waiting.record_attempts(transaction, attempts, datetime.now(UTC))
        _publish_first_and_last(transaction, before)
        return waiting.count_waiting(transaction)


def _publish_first_and_last(transaction: Transaction, before: int) -> None:
    """`health` reads the published file; a change of the number alone waits for the next publication."""
    if bool(before) != bool(waiting.count_waiting(transaction)):
        transaction.changed = transaction.publish = True


def _delayed(stored: WaitingMessage) -> Message:
    text = message(stored.event, stored.about, stored.facts)
    return text._replace(body=f"{text.body}\nDelayed: first attempt {stored.created_at:%Y-%m-%d %H:%M} UTC")


def _is_temporary(_task: Any, _run: Any, state: State[Any]) -> bool:
    """A service may recover within a minute; a missing block takes longer."""
    return isinstance(state.result(raise_on_failure=False), ServiceUnavailable)


@task(
    task_run_name="send to {name}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_is_temporary,
)
def send(name: str, text: Message) -> None:
    """Send a message through one saved block, as a task that is repeated after a failure of the service."""
    deliver(name, text)


def deliver(name: str, text: Message) -> None:
    """Send a message through one saved block. Its answer is not reported: it may contain the secret address."""
    notify_through(name, load_block(name), text)


def notify_through(name: str, block: NotificationBlock, text: Message) -> None:
    """Send a message through a block that has been loaded. Raises ServiceUnavailable."""
    try:
        with block.raise_on_failure():  # without it, most blocks ignore a failure
            asyncio.run(_notify(block, text))
    except (NotificationError, httpx.HTTPError, OSError) as failure:
        raise ServiceUnavailable(
            f"The notification block {plain(name)} could not send the message ({type(failure).__name__}). "
            "Check its address in the Prefect UI (Blocks)."
        ) from None


async def _notify(block: NotificationBlock, text: Message) -> None:
    send_async = getattr(block, "anotify", block.notify)  # blocks of other packages may have an async `notify` only
    await send_async(text.body, text.subject)


def load_block(name: str) -> NotificationBlock:
    """Load a saved block. This imports the packages that its type needs, and validates its values."""
    kind, _, label = name.partition("/")
    try:
        with prefect_client() as client:
            client.read_block_document_by_name(label, kind)
        with _without_apprise_log():
            block = asyncio.run(Block.aload(name))
    except ObjectNotFound:
        raise SettingsError(
            f"{SETTING} names the block {plain(name)!r}, which is not saved in {api_location()}. Create it in the "
            "Prefect UI (Blocks, +), and name it as type/name, such as slack-webhook/security."
        ) from None
    except ImportError as error:
        raise SettingsError(
            f"The notification block {plain(name)} could not be loaded ({plain(str(error))}). Reinstall the worker's "
            "packages, then run this flow again."
        ) from error
    except (TypeError, ValueError, LookupError) as error:  # LookupError: {{name}} of a value that does not exist
        raise SettingsError(
            f"The notification block {plain(name)} has an invalid value ({type(error).__name__}). "
            "Correct it in the Prefect UI (Blocks), then run this flow again."
        ) from None
    if not isinstance(block, NotificationBlock):
        raise SettingsError(f"{SETTING} names {plain(name)!r}, which is not a notification block. Name one that is.")
    if isinstance(block, CustomWebhookNotificationBlock) and not _sends_text(block):
        raise SettingsError(
            f"The notification block {plain(name)} sends no text of the message. Enter as its JSON Data in the Prefect "
            f"UI (Blocks): {WEBHOOK_JSON}"
        )
    return block


def _sends_text(block: CustomWebhookNotificationBlock) -> bool:
    """Whether its request contains the message. Without JSON or form data, Prefect sends an empty body."""
    placeholders = find_placeholders([block.json_data, block.form_data, block.params, block.url])
    return any(placeholder.name in ("body", "subject") for placeholder in placeholders)


@contextmanager
def _without_apprise_log() -> Iterator[None]:
    """Apprise logs a key that it rejects in full."""
    logger = logging.getLogger("apprise")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
