"""What an HTTP status means; a service adds its own meanings."""

from collections.abc import Mapping

import httpx

from tasks.errors import AnswerNotUnderstood, ServiceError, ServiceUnavailable, Unreachable
from tasks.http.failure import Failure, Meaning, Retry
from tasks.sanitize import plain


class ErrorCodes:
    """The meanings of statuses of one service, in sentences that name it."""

    def __init__(self, service: str, own: Mapping[int, Meaning]) -> None:
        self._service = service
        self.server_error = Meaning(
            ServiceUnavailable, Retry.SERVER, f"{service} reports an internal error. A later run tries again."
        )
        self._redirected = Meaning(
            Unreachable,
            Retry.NEVER,
            f"The answer is a redirection, so another server answers in place of {service}. Check base URL and proxy.",
        )
        self._refused = Meaning(
            ServiceError, Retry.NEVER, f"{service} refused the request. Report it with this text if it persists."
        )
        self._by_status = {
            407: Meaning(
                Unreachable,
                Retry.NEVER,
                "The proxy requires authentication. Set HTTPS_PROXY=http://user:password@host:port.",
            ),
            408: Meaning(
                ServiceUnavailable, Retry.SERVER, f"{service} did not answer in time. A later run tries again."
            ),
            429: Meaning(
                ServiceUnavailable,
                Retry.THROTTLED,
                f"The request quota of this account at {service} is exhausted. A later run tries again; check whether "
                "another program uses the same keys.",
            ),
        } | dict(own)

    def meaning(self, status: int) -> Meaning:
        if known := self._by_status.get(status):
            return known
        if status >= 500:
            return self.server_error
        return self._redirected if 300 <= status < 400 else self._refused

    def failure(self, meaning: Meaning, status: int, *, request_id: object = None, said: str = "") -> Failure:
        """`said`: the service's own message, escaped and in quotation marks."""
        trace = f", request id {plain(request_id, 64)}" if isinstance(request_id, str) and request_id else ""
        quotation = f": {said}" if said else ""
        return Failure(meaning.error(f"{meaning.message} (HTTP {status}{trace}{quotation})"), meaning.retry)

    def garbled(self, response: httpx.Response) -> Failure:
        """A success that is not JSON: incomplete, or the page of a proxy."""
        kind = plain(response.headers.get("content-type", "no content type"), 60)
        return Failure(
            AnswerNotUnderstood(
                f"The answer is not JSON ({kind}, {len(response.content)} bytes), several times in a row. "
                f"A proxy may have answered in place of {self._service}. Nothing was skipped; a later run tries again."
            ),
            Retry.GARBLED,
        )

    def not_understood(self, why: str) -> Failure:
        """JSON that does not have the documented structure."""
        return Failure(
            AnswerNotUnderstood(
                f"The answer of {self._service} does not have the documented structure: {plain(why)}. Nothing was "
                "skipped. Report this text if it persists: the interface may have changed."
            )
        )

    def no_token(self) -> Failure:
        """A success of the token endpoint without a token."""
        return Failure(
            AnswerNotUnderstood(f"The token endpoint of {self._service} returned no token. Check base URL and proxy."),
            Retry.GARBLED,
        )
