"""The test of the notification blocks: one message, and for each block what it sends and what its service answers."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.utilities.templating import apply_values

from flows.runs.message_run import SETTING, block_names, load_block, notify_through
from tasks.errors import AlertsError, SettingsError
from tasks.notifications.events import PREFIX
from tasks.notifications.messages import Message, message
from tasks.settings import Settings

HTTP_LOGGERS = ("httpx", "urllib3.connectionpool")
STATUS = re.compile(r'"HTTP/[\d.]+ (\d{3}[\w ]*)"|HTTP/[\d.]+" (\d{3})')


class Delivery(NamedTuple):
    """What became of the message at one block."""

    block: str
    sent: bool
    content: str | None
    """what a custom webhook sends; the other kinds send subject and body in their service's form"""
    answer: str | None
    """status of the service's last HTTP answer"""
    error: str | None


def build_test_message() -> Message:
    """The message about a connection that is restored, which asks nobody to act."""
    return message(f"{PREFIX}connector.back", "test message, no connector has changed", {})


def send_test_message(settings: Settings, text: Message) -> list[Delivery]:
    """Send it once through each block, without repeats. Raises SettingsError if the setting names none."""
    names = block_names(settings)
    if not names:
        raise SettingsError(
            f"No notification block is configured. Set {SETTING}=type/name, e.g. slack-webhook/security."
        )
    return [_deliver(name, text) for name in names]


def _deliver(name: str, text: Message) -> Delivery:
    content, error = None, None
    statuses: list[str] = []
    try:
        block = load_block(name)
        if isinstance(block, CustomWebhookNotificationBlock):
            values = {"subject": text.subject, "body": text.body, "name": block.name}
            content = str(apply_values(block.json_data or block.form_data or block.params, values, remove_notset=False))
        with _http_statuses(statuses):
            notify_through(name, block, text)
    except AlertsError as failure:
        error = str(failure)
    answer = f"HTTP {statuses[-1]}" if statuses else None
    return Delivery(name, error is None, content, answer, error)


class _StatusHandler(logging.Handler):
    """Collects the statuses of HTTP answers; the rest of a record, such as a secret address, goes nowhere."""

    def __init__(self, statuses: list[str]) -> None:
        super().__init__()
        self.statuses = statuses

    def emit(self, record: logging.LogRecord) -> None:
        if found := STATUS.search(record.getMessage()):
            self.statuses.append(found[1] or found[2])


@contextmanager
def _http_statuses(statuses: list[str]) -> Iterator[None]:
    """Collect the statuses that the HTTP clients of the blocks log: neither kind of block returns its answer."""
    handler = _StatusHandler(statuses)
    loggers = [logging.getLogger(name) for name in HTTP_LOGGERS]
    former = [(logger.level, logger.propagate, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = logger.disabled = False
    try:
        yield
    finally:
        for logger, (level, propagate, disabled) in zip(loggers, former, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled
