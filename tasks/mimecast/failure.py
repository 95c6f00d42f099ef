"""Why an answer is a failure, and whether to retry.

The HTTP status alone is not sufficient: a failed call may come as 200 with a filled `fail`, `meta.status` may differ
from the status line, and expired keys have been seen with several statuses. So the code in the body comes first.
"""

from typing import Any, NamedTuple

import httpx

from tasks.errors import ServiceError
from tasks.http.failure import Failure, Meaning
from tasks.mimecast.api_1_error_codes import EXPIRED
from tasks.mimecast.error_codes import BY_CODE, STATUSES, TOKEN_ENDPOINT, WRONG_REGION
from tasks.sanitize import plain


class Fault(NamedTuple):
    """One entry of `fail`, whichever of its shapes it came in."""

    code: str
    message: str
    retryable: bool


def failure_of(response: httpx.Response, body: object) -> Failure | None:
    """The failure by status and decoded body; None for a success."""
    status, faults = _status(response, body), faults_of(body)
    if status == httpx.codes.OK and not faults:
        return None
    return _failure(_meaning(status, faults), response, status, faults)


def token_failure(response: httpx.Response, body: object) -> Failure:
    """Why the token endpoint issued no token. Its message is not repeated: it may quote what was sent."""
    status = response.status_code
    if response.is_success:
        return STATUSES.no_token()
    meaning = TOKEN_ENDPOINT if status in (400, 401, 403) else STATUSES.meaning(status)
    return _failure(meaning, response, status, [fault._replace(message="") for fault in faults_of(body)])


def faults_of(body: object) -> list[Fault]:
    """All shapes as one list: `fail[].errors[]`, flat `fail[]`, `{"error": {"message"}}`, OAuth's `{"error"}`."""
    if not isinstance(body, dict):
        return []
    found: list[Fault] = []
    fail = body.get("fail") or []
    for entry in fail if isinstance(fail, list) else [fail]:
        errors = entry.get("errors") if isinstance(entry, dict) else None
        found += [_fault(error) for error in errors] if isinstance(errors, list) and errors else [_fault(entry)]
    if body.get("error"):
        found.append(_fault(body["error"]))
    return found


def _fault(entry: Any) -> Fault:
    if isinstance(entry, dict):
        return Fault(str(entry.get("code") or ""), str(entry.get("message") or ""), entry.get("retryable") is True)
    return Fault(entry if isinstance(entry, str) else "", "", False)


def meta_status(value: object) -> int | None:
    """The status in the body, a number or text; None without one, 0 if it cannot be read."""
    if value is None:
        return None
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) == len("200") else 0


def _status(response: httpx.Response, body: object) -> int:
    if response.status_code != httpx.codes.OK or not isinstance(body, dict):
        return response.status_code
    meta = body.get("meta")
    return (meta_status(meta.get("status")) if isinstance(meta, dict) else None) or response.status_code


def _meaning(status: int, faults: list[Fault]) -> Meaning:
    for fault in faults:
        if meaning := BY_CODE.get(fault.code.lower()):
            return meaning
        if "incorrect_region" in fault.code.lower():
            return WRONG_REGION
        if "accesskey has expired" in fault.message.lower():
            return EXPIRED
    meaning = STATUSES.meaning(status)
    if meaning.error is ServiceError and any(fault.retryable for fault in faults):
        return STATUSES.server_error
    return meaning


def _failure(meaning: Meaning, response: httpx.Response, status: int, faults: list[Fault]) -> Failure:
    said = "; ".join(plain(": ".join(filter(None, fault[:2]))) for fault in faults[:3])
    request_id = response.headers.get("x-request-id")
    return STATUSES.failure(meaning, status, request_id=request_id, said=f'"{said}"' if said else "")
