"""The rate limit of an account, shared by all clients in this process."""

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
LONGEST_NUMBER = 18  # digits


class RateLimiter:
    """Delays the requests of all threads of one account.

    A refusal blocks all requests until the server's reset. Afterwards they go out one by one, with a gap that grows
    with each burst of refusals and shrinks with each success: sending all at once would provoke the next burst.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._blocked_until = -math.inf
        self._next = -math.inf  # when the next request may go
        self._blocked_at = -math.inf
        self._blocks = 0
        self.gap = 0.0  # seconds

    def acquire(self, stop: threading.Event) -> float:
        """Wait until the request may be sent; returns that moment, which `throttle` needs."""
        while True:
            with self._lock:
                now, blocks = self._clock(), self._blocks
                turn = max(self._next, now)
                if self.gap or turn > now:
                    self._next = turn + self.gap * retry.PACE
            if turn <= now:
                pause(0, stop)
                return now
            if stop.wait(turn - now):
                pause(0, stop)
            if blocks == self._blocks:
                return self._clock()  # else requests were blocked meanwhile: wait again

    def throttle(self, sent_at: float, wait: float) -> None:
        """Block all requests for `wait` seconds, because the one sent at `sent_at` was refused."""
        with self._lock:
            now = self._clock()
            if sent_at > self._blocked_at:  # not of the burst that caused the present block
                self.gap = min(max(self.gap * WIDEN, FIRST_GAP), WIDEST_GAP)
                self._blocked_at = now
            self._blocks += 1
            self._blocked_until = max(self._blocked_until, now + wait * retry.PACE)
            self._next = self._blocked_until  # requests that had a slot wait again

    def recover(self) -> None:
        """Shorten the gap after a success."""
        with self._lock:
            self.gap = self.gap * NARROW if self.gap * NARROW > NO_GAP else 0.0


_LIMITERS: WeakValueDictionary[str, RateLimiter] = WeakValueDictionary()
_LIMITERS_LOCK = threading.Lock()


def rate_limiter_for(account: str) -> RateLimiter:
    """The rate limiter that all clients of this account in this process share."""
    with _LIMITERS_LOCK:
        limiter = _LIMITERS.get(account)
        if limiter is None:
            limiter = _LIMITERS[account] = RateLimiter()
        return limiter


@dataclass(frozen=True)
class Quota:
    """The account's request quota as of the last answer."""

    limit: int
    remaining: int


def quota_of(response: httpx.Response) -> Quota | None:
    """The quota in the answer's headers, in either of the two spellings."""
    for name in ("x-ratelimit", "x-rate-limit"):
        limit, remaining = (response.headers.get(f"{name}-{what}", "") for what in ("limit", "remaining"))
        if all(number.isdecimal() and len(number) <= LONGEST_NUMBER for number in (limit, remaining)):
            return Quota(int(limit), int(remaining))
    return None
