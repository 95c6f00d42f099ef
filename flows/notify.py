"""Events become messages, through the notification blocks of Prefect that the site has named."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
from prefect import flow, task
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from tasks.connectors.prefect_client import api_location, prefect_client
from tasks.errors import AlertsError, ServiceUnavailable, SettingsError
from tasks.notifications.messages import Message, messages
from tasks.sanitize import plain
from tasks.settings import load_settings

SETTING = "ATTACHMENT_ALERTS_NOTIFY"
_SYNC: dict[str, Any] = {"_sync": True}  # unknown to Prefect's type hints


@flow(name="notify", flow_run_name="{about}: {event}")
def notify(event: str, about: str, facts: dict[str, Any] | None = None) -> State[Any]:
    """Write to people about an event. Started by the triggers of prefect.yaml, or by hand to try the blocks.

    Args:
        event: Name of the event, such as `attachment-alerts.group.opened`.
        about: What it is about: the name of its resource.
        facts: What it says: its payload.
    """
    try:
        names = [name.strip() for name in load_settings().notify.split(",") if name.strip()]
        if not names:
            return Completed(name="Skipped", message=f"Nobody to write to: {SETTING} names no notification block.")
        texts = messages(event, about, facts or {})
        failed = list(filter(None, [_send_all(name, texts) for name in names]))
    except AlertsError as error:
        return Failed(message=str(error))
    if failed:
        return Failed(message=" ".join(failed))
    times = f" ({len(texts)} messages)" if len(texts) > 1 else ""
    return Completed(message=f"{texts[0].subject}{times}: sent to {', '.join(names)}.")


def _send_all(name: str, texts: list[Message]) -> str | None:
    """Send through one block until it fails; what it said then. It would refuse the rest as well."""
    for nth, text in enumerate(texts):
        state = send(name, text, return_state=True)
        if not state.is_completed():
            why = str(cast(BaseException, state.result(raise_on_failure=False)))
            return f"{why} {len(texts) - nth} of {len(texts)} messages were not sent." if len(texts) > 1 else why
    return None


def _may_help(_task: Any, _run: Any, state: State[Any]) -> bool:
    """A service may be back in a minute; a block that is missing stays so."""
    return isinstance(state.result(raise_on_failure=False), ServiceUnavailable)


@task(
    task_run_name="send to {name}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_may_help,
)
def send(name: str, text: Message) -> None:
    """Send a message through one saved block. What the other side answered may hold its address: it is not shown."""
    block = _block(name)
    try:
        with block.raise_on_failure():  # most blocks say nothing of a refusal unless they are asked to
            cast(Any, block).notify(text.body, text.subject, **_SYNC)
    except (NotificationError, httpx.HTTPError, OSError) as refused:
        raise ServiceUnavailable(
            f"The notification block {plain(name)} could not send ({type(refused).__name__}). "
            "Look at its address in the Prefect UI (Blocks), then run this flow again."
        ) from None


def _block(name: str) -> NotificationBlock:
    """Load a saved block, which imports what its kind needs and checks its values."""
    kind, _, label = name.partition("/")
    try:
        with prefect_client() as client:
            client.read_block_document_by_name(label, kind)
        with _without_apprise_log():
            block = Block.load(name, **_SYNC)
    except ObjectNotFound:
        raise SettingsError(
            f"{SETTING} names {plain(name)!r}, and no such block is saved in {api_location()}. Make it in the Prefect "
            "UI (Blocks, +), and name it as type/name: slack-webhook/security."
        ) from None
    except ImportError as error:
        raise SettingsError(
            f"The notification block {plain(name)} could not be loaded ({plain(str(error))}). Install the worker's "
            "packages again, then run this flow again."
        ) from error
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"The notification block {plain(name)} has a value that its service cannot have ({type(error).__name__}). "
            "Correct it in the Prefect UI (Blocks), then run this flow again."
        ) from None
    if not isinstance(block, NotificationBlock):
        raise SettingsError(f"{SETTING} names {plain(name)!r}, which is no notification block. Name one that is.")
    return block


@contextmanager
def _without_apprise_log() -> Iterator[None]:
    """It logs a key that it does not accept, in full."""
    logger = logging.getLogger("apprise")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
