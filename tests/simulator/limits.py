"""The rate limit: a fixed window per key, reported in headers of every answer, also of refusals."""

import time
from dataclasses import dataclass

from tests.simulator.switches import Switches

UNKNOWN_KEY = ""  # all unknown keys share one bucket


@dataclass(frozen=True)
class Charge:
    """The state of the bucket at one call."""

    limit: int
    remaining: int
    reset_ms: int
    exceeded: bool


class RateLimiter:
    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._windows: dict[str, tuple[float, int]] = {}  # key → (start, calls so far)

    def charge(self, key: str) -> Charge:
        """Counts one call of `key`; refused calls are not run but are counted too."""
        switches, now = self._switches, time.monotonic()
        limit = switches.rate_limit if key != UNKNOWN_KEY else switches.unknown_key_rate_limit
        began, calls = self._windows.get(key, (now, 0))
        if (now - began) * 1000 >= switches.rate_window_ms:
            began, calls = now, 0
        self._windows[key] = (began, calls + 1)
        reset_ms = max(1, switches.rate_window_ms - int((now - began) * 1000))
        return Charge(limit, max(0, limit - calls - 1), reset_ms, calls >= limit)


def rate_headers(charge: Charge, switches: Switches) -> dict[str, str]:
    """The headers in the spelling and unit that the switch names."""
    form, at = switches.reset_header, time.time() + switches.server_time_offset + charge.reset_ms / 1000
    if form == "none":
        return {}
    if form == "retry-after":
        return {"retry-after": str(-(-charge.reset_ms // 1000))} if charge.exceeded else {}
    prefix = "x-rate-limit" if form == "x-rate-limit-reset" else "x-ratelimit"
    resets = {"epoch-seconds": str(int(at) + 1), "epoch-milliseconds": str(int(at * 1000))}
    return {
        f"{prefix}-limit": str(charge.limit),
        f"{prefix}-remaining": str(charge.remaining),
        f"{prefix}-reset": resets.get(form, str(charge.reset_ms)),
    }
