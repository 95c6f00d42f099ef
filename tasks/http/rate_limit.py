"""The rate limit of an account: what all clients of one process pass before each request, and what is left of it."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import httpx

from tasks.http import retry
from tasks.http.retry import pause

FIRST_GAP, WIDEST_GAP, NO_GAP = 0.02, 5.0, 0.002  # seconds between two requests after a refusal
WIDEN, NARROW = 1.7, 0.97


class RateLimiter:
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
                    self._next = turn + self.gap * retry.PACE
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
            self._opens_at = max(self._opens_at, now + wait * retry.PACE)
            self._next = self._opens_at  # whoever had a turn queues again

    def accepted(self) -> None:
        with self._lock:
            self.gap = self.gap * NARROW if self.gap * NARROW > NO_GAP else 0.0


_GATES: WeakValueDictionary[str, RateLimiter] = WeakValueDictionary()
_GATES_LOCK = threading.Lock()


def rate_limiter_for(account: str) -> RateLimiter:
    """The gate that all clients of this account in this process share."""
    with _GATES_LOCK:
        gate = _GATES.get(account)
        if gate is None:
            gate = _GATES[account] = RateLimiter()
        return gate


@dataclass(frozen=True)
class Quota:
    """What the last answer said about the account's request quota."""

    limit: int
    remaining: int


def quota_of(response: httpx.Response) -> Quota | None:
    """The quota in the answer's headers, whichever of the two spellings they have."""
    for name in ("x-ratelimit", "x-rate-limit"):
        limit, remaining = (response.headers.get(f"{name}-{what}", "") for what in ("limit", "remaining"))
        if limit.isdecimal() and remaining.isdecimal():
            return Quota(int(limit), int(remaining))
    return None
