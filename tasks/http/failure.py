"""Why an answer is no result, and what kind of trouble it is: what every client of a service shares."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tasks.errors import AlertsError


class Retry(StrEnum):
    """What kind of failure it was; `retry.RetryPolicy` says how often each kind is retried."""

    NEVER = "never"
    THROTTLED = "request quota used up"
    SERVER = "service in trouble"
    METHOD = "method refused"  # the service answers 405 at random
    CUT = "connection not made or cut"
    GARBLED = "answer not whole"
    APPLICATION_ID = "application id not known"  # one is refused now and then, though it is good
    TOKEN = "token refused"  # noqa: S105 - a kind of trouble


class Meaning(NamedTuple):
    """What an answer that is not a success comes to."""

    error: type[AlertsError]
    retry: Retry
    says: str


@dataclass(frozen=True)
class Failure:
    """Why there is no result. `wait`: seconds, where the server asked for them."""

    error: AlertsError
    retry: Retry = Retry.NEVER
    wait: float | None = None
