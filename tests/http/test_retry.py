import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from tasks.errors import ServiceUnavailable, Stopped
from tasks.http.failure import Failure, Retry
from tasks.http.rate_limit import FIRST_GAP, NARROW, WIDEN, RateLimiter, rate_limiter_for
from tasks.http.retry import (
    BRIEF,
    MAX_WAIT,
    MIN_WAIT,
    STANDARD,
    Backoff,
    RetryState,
    pause,
    requested_wait,
    server_wait,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
IN_40_S = NOW + timedelta(seconds=40)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": format_datetime(IN_40_S, usegmt=True)}, 40),
        ({"retry-after": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, MIN_WAIT),
        ({"retry-after": "soon", "x-ratelimit-reset": "4851"}, 4.851),
        ({"retry-after": "3", "x-ratelimit-reset": "4851"}, 3),
        ({"x-rate-limit-reset": "60000"}, 60),
        ({"x-ratelimit-reset": f"{IN_40_S.timestamp():.0f}"}, 40),
        ({"x-ratelimit-reset": f"{IN_40_S.timestamp() * 1000:.0f}"}, 40),
        ({"x-ratelimit-reset": "0"}, MIN_WAIT),
        ({"x-ratelimit-reset": "-5"}, MIN_WAIT),
        ({"x-ratelimit-reset": "99999999"}, MAX_WAIT),
        ({"x-ratelimit-reset": "nan"}, None),
        ({"x-ratelimit-reset": "inf", "x-rate-limit-reset": "2000"}, 2),
        ({"x-ratelimit-reset": "later"}, None),
    ],
)
def test_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert server_wait(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


header_text = st.one_of(
    st.text("0123456789.-+eE GMTonFri,:²٣", max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(lambda moment: format_datetime(moment.replace(tzinfo=UTC), usegmt=True)),
    st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d{1,2}:\d\d:\d\d [+-]?\w{0,5}\Z"),
)


@given(st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset", "x-rate-limit-reset"]), header_text))
def test_any_header_gives_a_bearable_wait_or_none(headers: dict[str, str]) -> None:
    wait = server_wait(headers, NOW)
    assert wait is None or MIN_WAIT <= wait <= MAX_WAIT


def test_reset_headers_mean_a_wait_only_on_refusals() -> None:
    reset = {"X-RateLimit-Reset": "4000"}
    assert requested_wait(httpx.Response(429, headers=reset)) == 4
    assert requested_wait(httpx.Response(200, headers=reset)) is None
    assert requested_wait(httpx.Response(503, headers=reset)) is None
    assert requested_wait(httpx.Response(503, headers={"Retry-After": "9"})) == 9


@given(st.integers(0, 10_000), st.floats(0, 100), st.floats(0, 600))
def test_backoff_grows_to_a_limit_and_is_spread(nth: int, first: float, longest: float) -> None:
    whole = min(first * 2.0 ** min(nth, 60), longest)
    assert whole / 2 <= Backoff(9, first, longest).wait(nth) <= whole


def failure(retry: Retry, wait: float | None = None) -> Failure:
    return Failure(ServiceUnavailable("trouble"), retry, wait)


def next_wait(state: RetryState, failed: Failure) -> float | None:
    """Seconds until tenacity would try again; None where it would give up."""
    attempt = RetryCallState(Retrying(), None, (), {})
    attempt.set_result(failed)
    wait = state.wait(attempt)
    return None if state.is_exhausted(attempt) else wait


@pytest.mark.parametrize(
    ("retry", "times"),
    [
        (Retry.NEVER, 0),
        (Retry.SERVER, 5),
        (Retry.CONNECTION, 4),
        (Retry.METHOD, 2),
        (Retry.GARBLED, 2),
        (Retry.APPLICATION_ID, 1),
        (Retry.TOKEN, 1),
    ],
)
def test_each_kind_of_failure_is_retried_so_many_times(retry: Retry, times: int) -> None:
    state = RetryState(STANDARD)
    waits = [next_wait(state, failure(retry)) for _ in range(times + 1)]
    assert None not in waits[:-1]
    assert waits[-1] is None


def test_throttling_is_limited_by_the_sum_of_its_waits() -> None:
    state = RetryState(STANDARD)
    assert [next_wait(state, failure(Retry.THROTTLED, 300)) for _ in range(4)] == [300, 300, 300, None]
    without_header = RetryState(STANDARD)
    waits = list(iter(lambda: next_wait(without_header, failure(Retry.THROTTLED)), None))
    assert len(waits) > 5
    assert sum(waits) <= STANDARD.throttled


def test_one_kind_of_failure_does_not_use_up_the_retries_of_another() -> None:
    state = RetryState(STANDARD)
    assert next_wait(state, failure(Retry.TOKEN)) == 0
    assert next_wait(state, failure(Retry.SERVER, 7)) == 7
    assert next_wait(state, failure(Retry.TOKEN)) is None


def test_at_the_keyboard_nobody_waits_long() -> None:
    longest = sum(rule.retries * rule.longest for kind, rule in BRIEF.rules.items() if kind != Retry.THROTTLED)
    assert longest + BRIEF.throttled < 60


class VirtualTime(threading.Event):
    """A clock, and a stop signal whose waiting moves it."""

    now = 100.0

    def clock(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return self.is_set()


def test_unthrottled_limiter_does_not_wait() -> None:
    virtual = VirtualTime()
    limiter = RateLimiter(virtual.clock)
    for _ in range(50):
        limiter.acquire(virtual)
        limiter.recover()
    assert virtual.now == 100.0


def test_after_a_refusal_requests_go_one_by_one_after_the_reset() -> None:
    virtual = VirtualTime()
    limiter = RateLimiter(virtual.clock)
    sent = [limiter.acquire(virtual) for _ in range(4)]
    for moment in sent:
        limiter.throttle(moment, wait=5)
    turns = [limiter.acquire(virtual) for _ in range(3)]
    assert turns == pytest.approx([105, 105 + FIRST_GAP, 105 + 2 * FIRST_GAP])


def test_gap_grows_once_per_burst_and_shrinks_by_success() -> None:
    virtual = VirtualTime()
    limiter = RateLimiter(virtual.clock)
    limiter.throttle(limiter.acquire(virtual), wait=1)
    assert limiter.gap == FIRST_GAP
    burst = [limiter.acquire(virtual) for _ in range(4)]
    for moment in burst:
        limiter.throttle(moment, wait=1)
    assert limiter.gap == pytest.approx(FIRST_GAP * WIDEN)
    limiter.recover()
    assert limiter.gap == pytest.approx(FIRST_GAP * WIDEN * NARROW)
    for _ in range(200):
        limiter.recover()
    assert limiter.gap == 0


def test_longer_wait_delays_requests_that_already_wait() -> None:
    limiter, stop = RateLimiter(), threading.Event()
    limiter.throttle(limiter.acquire(stop), wait=0.1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limiter.acquire, stop)
        time.sleep(0.03)
        asked_at = time.monotonic()
        limiter.throttle(asked_at, wait=0.3)
        assert waiting.result() >= asked_at + 0.3


def test_stop_ends_every_wait() -> None:
    limiter, stop = RateLimiter(), threading.Event()
    limiter.throttle(limiter.acquire(stop), wait=600)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(limiter.acquire, stop), pool.submit(pause, 600, stop)]
        stop.set()
        for future in waiting:
            with pytest.raises(Stopped):
                future.result(timeout=60)
    with pytest.raises(Stopped):
        RateLimiter().acquire(stop)


def test_account_has_one_limiter() -> None:
    first, same, other = rate_limiter_for("a"), rate_limiter_for("a"), rate_limiter_for("b")
    assert first is same
    assert first is not other
