"""Failures of requests and how they are retried, for all services."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tasks.errors import AlertsError


class Retry(StrEnum):
    """The kind of a failure; `retry.RetryPolicy` has the number of retries of each kind."""

    NEVER = "never"
    THROTTLED = "request quota exhausted"
    SERVER = "server error"
    METHOD = "method refused"  # the service answers 405 at random
    CONNECTION = "no connection or connection lost"
    GARBLED = "unreadable answer"
    APPLICATION_ID = "application id unknown"  # a valid one is refused now and then
    TOKEN = "token refused"  # noqa: S105 - a kind of failure


class Meaning(NamedTuple):
    """The error that an unsuccessful answer becomes."""

    error: type[AlertsError]
    retry: Retry
    message: str


@dataclass(frozen=True)
class Failure:
    """Why there is no result. `wait`: seconds, if the server asks for a wait."""

    error: AlertsError
    retry: Retry = Retry.NEVER
    wait: float | None = None
