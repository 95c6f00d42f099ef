"""Answers before they become HTTP: the vendor's envelopes of both generations and all their error shapes."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.simulator.switches import Switches

_JSON = {"content-type": "application/json"}  # the vendor names no charset
# In recordings, only successful answers have these.
_GOOD = _JSON | {"cache-control": "no-store", "pragma": "no-cache", "x-robots-tag": "noindex, nofollow"}


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # the connection ends after that many bytes of the body
    delay: float = 0.0


@dataclass(frozen=True)
class Envelopes:
    """Writes `meta`, `data` and `fail` as one API generation does."""

    generation: int
    switches: Switches

    def good(self, data: list[Any], pagination: dict[str, Any] | None = None) -> Answer:
        meta: dict[str, Any] = {"status": 200}
        if pagination is not None:
            meta["pagination"] = pagination
        return Answer(200, self._encode(meta, data, []), dict(_GOOD))

    def failed(self, status: int, code: str, message: str, field: str | None = None) -> Answer:
        """A function's error: nested, the same in both generations, often under HTTP 200."""
        error = {"code": code, "message": message, "retryable": False}
        if field:
            error["field"] = field
        return Answer(status, self._encode({"status": status}, [], [{"errors": [error]}]), dict(_JSON))

    def bare(self, status: int) -> Answer:
        """An envelope with nothing but its status."""
        return Answer(status, self._encode({"status": status}, [], []), dict(_JSON))

    def _encode(self, meta: dict[str, Any], data: list[Any], fail: list[Any]) -> bytes:
        if self.generation == 1 and self.switches.v1_fail_first:
            envelope = {"fail": fail, "meta": meta, "data": data}
        else:
            envelope = {"meta": meta, "data": data, "fail": fail}
        body = msgspec.json.encode(envelope)
        if self.generation == 1 and self.switches.v1_escape_slashes:
            body = body.replace(b"/", b"\\/")  # slashes occur in strings only
        return body


def flat_failure(status: int, code: str, message: str) -> Answer:
    """An error of the 2.0 gateway: `fail` without `errors`."""
    return json_answer(status, {"fail": [{"code": code, "message": message}]})


def json_answer(status: int, content: Any) -> Answer:
    return Answer(status, msgspec.json.encode(content), dict(_JSON))


def html_page(status: int, title: str) -> Answer:
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status, page.encode(), {"content-type": "text/html"})
