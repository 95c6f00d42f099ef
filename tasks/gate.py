"""Patience: how often what is tried again, how long is waited, and one gate per account for its quota."""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from weakref import WeakValueDictionary

import httpx

from tasks.errors import Stopped
from tasks.failing import Failure, Retry

PACE = 1.0  # factor on every wait; tests make it small

SHORTEST, LONGEST = 1.0, 600.0  # seconds: what we believe of a wait that a server asks for
RESET_HEADERS = ("x-ratelimit-reset", "x-rate-limit-reset")
EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12  # larger values are moments, smaller ones milliseconds to wait

FIRST_GAP, WIDEST_GAP, NO_GAP = 0.02, 5.0, 0.002  # seconds between two requests after a refusal
WIDEN, NARROW = 1.7, 0.97


def pause(seconds: float, stop: threading.Event) -> None:
    """Wait; raises Stopped at once when the run is asked to end."""
    if stop.wait(max(seconds, 0.0) * PACE):
        raise Stopped("The run was asked to stop. What is complete is kept, the rest is fetched again next time.")


def server_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds the server asks us to wait, between 1 s and 10 min; None where it does not say.

    `Retry-After` (seconds or a date) first, then the reset header: documented and recorded as milliseconds, in
    other clients' hands also a moment in epoch seconds or milliseconds.
    """
    wait = _retry_after(headers.get("retry-after"), now)
    for name in RESET_HEADERS:
        wait = _until_reset(headers.get(name), now) if wait is None else wait
    return None if wait is None else min(max(wait, SHORTEST), LONGEST)


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
class Times:
    """So many further tries, the wait doubling from `first` to `longest` seconds, half of it by chance."""

    times: int
    first: float
    longest: float

    def wait(self, nth: int) -> float:
        whole = min(self.first * 2.0 ** min(nth, 60), self.longest)
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing


@dataclass(frozen=True)
class Patience:
    """How often what is tried again. Throttling is bounded by the sum of its waits for one request."""

    throttled: float  # seconds
    rules: Mapping[Retry, Times]


STANDARD = Patience(
    throttled=900,
    rules={
        Retry.THROTTLED: Times(10_000, 5, LONGEST),
        Retry.SERVER: Times(5, 4, 30),
        Retry.METHOD: Times(2, 2, 4),
        Retry.CUT: Times(4, 1, 30),
        Retry.GARBLED: Times(2, 1, 4),
        Retry.APPLICATION_ID: Times(1, 1, 1),
        Retry.TOKEN: Times(1, 0, 0),
    },
)
# for a person who waits at the keyboard
BRIEF = Patience(
    throttled=20,
    rules={kind: Times(min(rule.times, 2), min(rule.first, 1), 2) for kind, rule in STANDARD.rules.items()},
)


@dataclass
class Tries:
    """What one request has been through so far."""

    patience: Patience
    _seen: dict[Retry, int] = field(default_factory=dict)
    _throttled: float = 0.0

    def next_wait(self, failure: Failure) -> float | None:
        """Seconds until the request may be repeated; None when patience is at an end."""
        rule, nth = self.patience.rules.get(failure.retry), self._seen.get(failure.retry, 0)
        if rule is None or nth >= rule.times:
            return None
        self._seen[failure.retry] = nth + 1
        wait = rule.wait(nth) if failure.wait is None else failure.wait
        if failure.retry is Retry.THROTTLED:
            self._throttled += wait
            return wait if self._throttled <= self.patience.throttled else None
        return wait


class Gate:
    """What all threads of one account pass before each request.

    A refusal closes it until the server's reset. Then it lets requests out one by one, with a gap that grows by
    each burst of refusals and shrinks by each success: a gate that opens at once for all provokes the next burst.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._opens_at = -math.inf
        self._next = -math.inf  # when the next request may go
        self._closed_at = -math.inf
        self._closings = 0
        self.gap = 0.0  # seconds

    def enter(self, stop: threading.Event) -> float:
        """Wait for this request's turn; returns the moment it goes, which `refused` wants back."""
        while True:
            with self._lock:
                now, closings = self._clock(), self._closings
                turn = max(self._next, now)
                if self.gap or turn > now:
                    self._next = turn + self.gap * PACE
            if turn <= now:
                pause(0, stop)
                return now
            if stop.wait(turn - now):
                pause(0, stop)
            if closings == self._closings:
                return self._clock()  # else the gate closed meanwhile: queue again

    def refused(self, sent_at: float, wait: float) -> None:
        """The request sent at that moment was refused: nobody sends for `wait` seconds."""
        with self._lock:
            now = self._clock()
            if sent_at > self._closed_at:  # not another one of the burst that closed the gate
                self.gap = min(max(self.gap * WIDEN, FIRST_GAP), WIDEST_GAP)
                self._closed_at = now
            self._closings += 1
            self._opens_at = max(self._opens_at, now + wait * PACE)
            self._next = self._opens_at  # whoever had a turn queues again

    def accepted(self) -> None:
        with self._lock:
            self.gap = self.gap * NARROW if self.gap * NARROW > NO_GAP else 0.0


_GATES: WeakValueDictionary[str, Gate] = WeakValueDictionary()
_GATES_LOCK = threading.Lock()


def gate_of(account: str) -> Gate:
    """The gate that all clients of this account in this process share."""
    with _GATES_LOCK:
        gate = _GATES.get(account)
        if gate is None:
            gate = _GATES[account] = Gate()
        return gate


def wait_asked(response: httpx.Response) -> float | None:
    """What a refusal says about waiting. Reset headers come with every answer, but mean a wait only on 429."""
    now = datetime.now(UTC)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return server_wait(response.headers, now)
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in response.headers:
        return server_wait({"retry-after": response.headers["retry-after"]}, now)
    return None
