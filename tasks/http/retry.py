"""Retry policy: how often each kind of failure is retried, and after which wait."""

import math
import random
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

import httpx
from tenacity import RetryCallState

from tasks.errors import Stopped
from tasks.http.failure import Failure, Retry

PACE = 1.0  # factor on every wait; tests make it small

MIN_WAIT, MAX_WAIT = 1.0, 600.0  # seconds: limits of a wait that a server asks for
RESET_HEADERS = ("x-ratelimit-reset", "x-rate-limit-reset")
EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12  # larger values are moments, smaller ones milliseconds to wait


def pause(seconds: float, stop: threading.Event) -> None:
    """Wait; raises Stopped as soon as the run is to stop."""
    if stop.wait(max(seconds, 0.0) * PACE):
        raise Stopped("The run was stopped. Complete slices are kept; the next run fetches the rest.")


def server_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the server asks to wait, between 1 s and 10 min; None if it does not.

    `Retry-After` (seconds or a date) first, then the reset header: documented and observed in milliseconds, by other
    clients also as a time in epoch seconds or milliseconds.
    """
    wait = _retry_after(headers.get("retry-after"), now)
    for name in RESET_HEADERS:
        wait = _until_reset(headers.get(name), now) if wait is None else wait
    return None if wait is None else min(max(wait, MIN_WAIT), MAX_WAIT)


def _retry_after(value: str | None, now: datetime) -> float | None:
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - now).total_seconds()


def _until_reset(value: str | None, now: datetime) -> float | None:
    number = _number(value)
    if number is None or number <= EPOCH_SECONDS:
        return None if number is None else number / 1000
    moment = number / 1000 if number > EPOCH_MILLISECONDS else number
    return moment - now.timestamp()


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Backoff:
    """The number of retries; the wait doubles from `first` to `longest` seconds, half of it random."""

    retries: int
    first: float
    longest: float

    def wait(self, nth: int) -> float:
        longest = min(self.first * 2.0 ** min(nth, 60), self.longest)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing


@dataclass(frozen=True)
class RetryPolicy:
    """How each kind of failure is retried. Throttling is limited by the sum of its waits for one request."""

    throttled: float  # seconds
    rules: Mapping[Retry, Backoff]


STANDARD = RetryPolicy(
    throttled=900,
    rules={
        Retry.THROTTLED: Backoff(10_000, 5, MAX_WAIT),
        Retry.SERVER: Backoff(5, 4, 30),
        Retry.METHOD: Backoff(2, 2, 4),
        Retry.CONNECTION: Backoff(4, 1, 30),
        Retry.GARBLED: Backoff(2, 1, 4),
        Retry.APPLICATION_ID: Backoff(1, 1, 1),
        Retry.TOKEN: Backoff(1, 0, 0),
    },
)
# for interactive commands
BRIEF = RetryPolicy(
    throttled=20,
    rules={kind: Backoff(min(rule.retries, 2), min(rule.first, 1), 2) for kind, rule in STANDARD.rules.items()},
)
_NO_RETRY = Backoff(0, 0, 0)


def failure_in(attempt: RetryCallState) -> Failure:
    """The failure of an attempt."""
    outcome = cast("Future[Failure]", attempt.outcome)  # tenacity asks after an attempt only
    return outcome.result()


@dataclass
class RetryState:
    """The failed attempts of one request; tenacity calls `wait`, then `is_exhausted`, after each of them."""

    policy: RetryPolicy
    _failures: Counter[Retry] = field(default_factory=Counter)
    _throttled: float = 0.0

    def wait(self, attempt: RetryCallState) -> float:
        """Seconds until the next attempt: as the server asks, else by the rule for this kind of failure."""
        failure = failure_in(attempt)
        wait = self._rule(failure).wait(self._failures[failure.retry]) if failure.wait is None else failure.wait
        self._failures[failure.retry] += 1
        if failure.retry is Retry.THROTTLED:
            self._throttled += wait
        return wait

    def is_exhausted(self, attempt: RetryCallState) -> bool:
        failure = failure_in(attempt)
        too_often = self._failures[failure.retry] > self._rule(failure).retries
        return too_often or self._throttled > self.policy.throttled

    def _rule(self, failure: Failure) -> Backoff:
        return self.policy.rules.get(failure.retry, _NO_RETRY)


def requested_wait(response: httpx.Response) -> float | None:
    """The wait that a refusal asks for. Reset headers come with every answer, but only mean a wait on 429."""
    now = datetime.now(UTC)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return server_wait(response.headers, now)
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in response.headers:
        return server_wait({"retry-after": response.headers["retry-after"]}, now)
    return None
