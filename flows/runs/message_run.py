"""Send the message about an event through the notification blocks that the site has named."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import task
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import AlertsError, ServiceUnavailable, SettingsError
from tasks.notifications.messages import Message, message
from tasks.sanitize import plain
from tasks.settings import load_settings

SETTING = "ATTACHMENT_ALERTS_NOTIFY"


def send_message(event: str, about: str, facts: dict[str, Any]) -> State[Any]:
    """Send to every block that the setting names; the final state names those that failed."""
    try:
        names = [name.strip() for name in load_settings().notify.split(",") if name.strip()]
    except AlertsError as error:
        return Failed(message=str(error))
    if not names:
        return Completed(name="Skipped", message=f"Nothing was sent: {SETTING} names no notification block.")
    text = message(event, about, facts)
    states = [send(name, text, return_state=True) for name in names]
    failures = [str(state.result(raise_on_failure=False)) for state in states if not state.is_completed()]
    if failures:
        return Failed(message=" ".join(failures))
    return Completed(message=f"{text.subject}: sent to {', '.join(names)}.")


def _is_temporary(_task: Any, _run: Any, state: State[Any]) -> bool:
    """A service may recover within a minute; a missing block stays missing."""
    return isinstance(state.result(raise_on_failure=False), ServiceUnavailable)


@task(
    task_run_name="send to {name}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_is_temporary,
)
def send(name: str, text: Message) -> None:
    """Send a message through one saved block. Its answer is not reported: it may contain the secret address."""
    block = _load(name)
    try:
        with block.raise_on_failure():  # without it, most blocks ignore a failure
            asyncio.run(_deliver(block, text))
    except (NotificationError, httpx.HTTPError, OSError) as failure:
        raise ServiceUnavailable(
            f"The notification block {plain(name)} could not send the message ({type(failure).__name__}). "
            "Check its address in the Prefect UI (Blocks), then run this flow again."
        ) from None


async def _deliver(block: NotificationBlock, text: Message) -> None:
    deliver = getattr(block, "anotify", block.notify)  # blocks of other packages may have an async `notify` only
    await deliver(text.body, text.subject)


def _load(name: str) -> NotificationBlock:
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
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"The notification block {plain(name)} has an invalid value ({type(error).__name__}). "
            "Correct it in the Prefect UI (Blocks), then run this flow again."
        ) from None
    if not isinstance(block, NotificationBlock):
        raise SettingsError(f"{SETTING} names {plain(name)!r}, which is not a notification block. Name one that is.")
    return block


@contextmanager
def _without_apprise_log() -> Iterator[None]:
    """Apprise logs a key that it rejects in full."""
    logger = logging.getLogger("apprise")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
