"""Sends requests to a service until there is a result or the retries are exhausted.

The only layer that retries. It is thread-safe.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median_low
from types import TracebackType
from typing import Self, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result

from tasks import clock
from tasks.errors import AlertsError
from tasks.http.client import HttpClient, clock_offset_of, transport_failure
from tasks.http.failure import Failure, Retry
from tasks.http.oauth import AccessToken, NoTokenIssued
from tasks.http.rate_limit import Quota, quota_of, rate_limiter_for
from tasks.http.retry import MIN_WAIT, STANDARD, RetryPolicy, RetryState, failure_in, pause, requested_wait

log = logging.getLogger("attachment_alerts.http")

CLOCK_ANSWERS = 3  # one of them may come from a server whose clock is wrong

T = TypeVar("T")
Reader = Callable[[httpx.Response, datetime], T | Failure]  # the moment is that of the request, by the service's clock


class ServiceClient(ABC):
    """Reads one account of a service. Use it in a `with` statement, or close it."""

    def __init__(
        self,
        service: str,
        http: HttpClient,
        auth: httpx.Auth,
        *,
        account: str,
        stop: threading.Event | None = None,
        policy: RetryPolicy = STANDARD,
    ) -> None:
        self._service = service
        self.http = http
        self._auth = auth
        self._stop = stop or threading.Event()
        self._policy = policy
        self._limiter = rate_limiter_for(account)
        self._counting = threading.Lock()
        self.refusals = 0  # answers 429 so far
        self.quota: Quota | None = None
        self.clock_correction = timedelta()  # added to this machine's clock to get the service's time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def abort(self) -> None:
        """Abort all requests; may be called from another thread, after `stop` was set."""
        self.http.abort()

    @abstractmethod
    def token_failure(self, response: httpx.Response) -> Failure:
        """Why no token was issued."""

    def explain(self, error: AlertsError) -> AlertsError:
        """The error to raise; a product may add to it what its connector knows."""
        return error

    def now(self) -> datetime:
        """The service's time: this machine's clock with its correction."""
        return clock.now() + self.clock_correction

    def clock_difference(self, url: str = "/") -> timedelta | None:
        """The server's clock minus this machine's; None if the server does not report its time. Sends no key.

        The median of several answers to POST, which are not cached.
        """

        def read(response: httpx.Response, requested_at: datetime) -> timedelta | None:
            return clock_offset_of(response, requested_at - self.clock_correction, clock.now())

        answers = [
            self.send(lambda: self.http.build_request("POST", url), read, with_keys=False) for _ in range(CLOCK_ANSWERS)
        ]
        offsets = [offset for offset in answers if offset is not None]
        return median_low(offsets) if offsets else None

    def send(self, build: Callable[[], httpx.Request], read: Reader[T], *, with_keys: bool = True) -> T:
        """Send requests until there is a result. Raises the error of the last failure, and Stopped."""
        state = RetryState(self._policy)
        attempts = Retrying(
            retry=retry_if_result(lambda result: isinstance(result, Failure)),
            wait=state.wait,
            stop=state.is_exhausted,
            sleep=lambda seconds: pause(seconds, self._stop),
            before_sleep=self._log_retry,
            retry_error_callback=failure_in,
        )
        result: T | Failure = attempts(self._attempt, build, read, self._auth if with_keys else None)
        if isinstance(result, Failure):
            raise self.explain(result.error)
        return result

    def _log_retry(self, attempt: RetryCallState) -> None:
        log.info("%s: %s; retrying in %.1f s", self._service, failure_in(attempt).retry, attempt.upcoming_sleep)

    def _attempt(self, build: Callable[[], httpx.Request], read: Reader[T], auth: httpx.Auth | None) -> T | Failure:
        sent_at = self._limiter.acquire(self._stop)
        result = self._exchange(build(), read, auth)
        if not isinstance(result, Failure):
            self._limiter.recover()
            return result
        pause(0, self._stop)  # a request that was aborted has not failed
        if result.retry is Retry.THROTTLED:
            self._limiter.throttle(sent_at, result.wait or MIN_WAIT)
            with self._counting:
                self.refusals += 1
        return result

    def _exchange(self, request: httpx.Request, read: Reader[T], auth: httpx.Auth | None) -> T | Failure:
        requested_at = self.now()
        try:
            response = self.http.send(request, auth=auth)
        except NoTokenIssued as refused:  # the request itself was not sent
            response = refused.response
            result: T | Failure = self.token_failure(response)
        except httpx.RequestError as error:
            url = error.request.url
            return transport_failure(error, f"{url.scheme}://{url.netloc.decode()}")
        else:
            result = self._renew_token(read(response, requested_at), response)
        self.quota = quota_of(response) or self.quota
        if isinstance(result, Failure) and result.wait is None:
            return replace(result, wait=requested_wait(response))
        return result

    def _renew_token(self, result: T | Failure, response: httpx.Response) -> T | Failure:
        """Make the next attempt request a new token if this one was refused."""
        if not isinstance(result, Failure) or not isinstance(self._auth, AccessToken):
            return result
        if response.status_code == httpx.codes.UNAUTHORIZED and result.retry is Retry.NEVER:
            # The keys were valid when the token was issued, so a new token decides.
            result = replace(result, retry=Retry.TOKEN)
        if result.retry is Retry.TOKEN:
            self._auth.forget(response.request)
        return result
