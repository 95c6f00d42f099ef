"""An answer that is not a success: which error it is, in a sentence for the person, and whether to try again.

The HTTP status alone does not tell: a failed call may come as 200 with a filled `fail`, `meta.status` may differ
from the status line, and an expired key has been seen under several statuses. So the code in the body is judged
first.
"""

from typing import Any, NamedTuple

import httpx
import msgspec

from tasks.errors import (
    AlertsError,
    AnswerNotUnderstood,
    CredentialsRefused,
    KeyExpired,
    PermissionMissing,
    ServiceError,
    ServiceUnavailable,
    Unreachable,
    WrongRegion,
)
from tasks.failing import Failure, Retry
from tasks.untrusted import plain


class Fault(NamedTuple):
    """One entry of `fail`, whichever of its shapes it came in."""

    code: str
    message: str
    retryable: bool


class Meaning(NamedTuple):
    error: type[AlertsError]
    retry: Retry
    says: str


PERMISSION = "Monitoring | Attachment Protection | Read"
_NEW_KEYS = (
    "Make new keys in the Mimecast console; a saved connector gets them by `attachment-alerts connectors rotate`."
)
_TOKEN_REFUSED = Meaning(
    CredentialsRefused,
    Retry.TOKEN,
    "Mimecast refuses the token it has just issued. Check in the Mimecast console that the application is enabled.",
)
_EXPIRED = Meaning(KeyExpired, Retry.NEVER, f"The access key of this connector has expired. {_NEW_KEYS}")
_FORBIDDEN = Meaning(
    PermissionMissing,
    Retry.NEVER,
    "The keys are good, but may not do this. Give the application (2.0: also its product Security Events) "
    f"or the user of the keys (1.0) the permission {PERMISSION}.",
)
_WRONG_REGION = Meaning(
    WrongRegion, Retry.NEVER, "The account lives in another region. Choose its region for this connector."
)

BY_CODE = {
    "err_developer_key": Meaning(
        CredentialsRefused,
        Retry.APPLICATION_ID,
        "Mimecast does not know the application id. Copy it again from the console.",
    ),
    "err_xdk_invalid_signature": Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "The application id is known, but the application key, access key or secret key is wrong (or the "
        "region, or this machine's clock). Mimecast does not say which: copy all of them again.",
    ),
    "err_xdk_binding_expired": _EXPIRED,
    "err_xdk_operation_forbidden_for_address": _FORBIDDEN,
    "app_forbidden": _FORBIDDEN,
    "token_expired": _TOKEN_REFUSED,
    "token_verification_failed": _TOKEN_REFUSED,
    "unauthorized request": _TOKEN_REFUSED,
    "err_audit_log_incorrect_region": _WRONG_REGION,
}

BY_STATUS = {
    401: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "Mimecast does not accept the keys of this connector. Copy them again from the console, or make new ones.",
    ),
    403: _FORBIDDEN,
    404: Meaning(
        WrongRegion,
        Retry.NEVER,
        "The host does not know this call, so it is not the API host of the account. Check region and base URL.",
    ),
    405: Meaning(
        ServiceUnavailable,
        Retry.METHOD,
        "Mimecast refuses the method of a correct call. A later run tries again.",
    ),
    407: Meaning(
        Unreachable,
        Retry.NEVER,
        "The proxy asks for a user and password. Put them into HTTPS_PROXY or ask for a way out.",
    ),
    408: Meaning(ServiceUnavailable, Retry.SERVER, "Mimecast did not answer in time. A later run tries again."),
    418: _EXPIRED,
    429: Meaning(
        ServiceUnavailable,
        Retry.THROTTLED,
        "Mimecast's request quota of this account stays used up. Is another program using the same keys? "
        "A later run tries again.",
    ),
}
_SERVER_TROUBLE = Meaning(
    ServiceUnavailable, Retry.SERVER, "Mimecast's service is in trouble. A later run tries again."
)
_REDIRECTED = Meaning(
    Unreachable,
    Retry.NEVER,
    "The answer is a redirection, so something else answers in Mimecast's place. Check base URL and proxy.",
)
_REFUSED = Meaning(ServiceError, Retry.NEVER, "Mimecast refuses the request. Report it with this text if it stays so.")
_TOKEN_ENDPOINT = Meaning(
    CredentialsRefused,
    Retry.NEVER,
    "Mimecast issues no token: the client id or the client secret is wrong, or the application is disabled. "
    "Copy both again, or make a new secret in the Mimecast console.",
)


def failure_of(response: httpx.Response, body: object) -> Failure | None:
    """The failure that status and decoded body tell of; None for a success."""
    status, faults = _status(response, body), faults_of(body)
    if status == httpx.codes.OK and not faults:
        return None
    meaning = _meaning(status, faults)
    return Failure(meaning.error(meaning.says + _said(response, status, faults)), meaning.retry)


def token_failure(response: httpx.Response, body: object) -> Failure:
    """Why the token endpoint issued no token. Its message is not repeated: it may quote what was sent."""
    status = response.status_code
    if response.is_success:
        return Failure(
            AnswerNotUnderstood("Mimecast's token endpoint answered without a token. Check base URL and proxy."),
            Retry.GARBLED,
        )
    known = BY_STATUS.get(status, _by_range(status))
    meaning = _TOKEN_ENDPOINT if status in (400, 401, 403) else known
    codes = [Fault(fault.code, "", fault.retryable) for fault in faults_of(body)]
    return Failure(meaning.error(meaning.says + _said(response, status, codes)), meaning.retry)


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


def _status(response: httpx.Response, body: object) -> int:
    if response.status_code != httpx.codes.OK or not isinstance(body, dict):
        return response.status_code
    meta = body.get("meta")
    inner = meta.get("status") if isinstance(meta, dict) else None
    return inner if isinstance(inner, int) else response.status_code


def _meaning(status: int, faults: list[Fault]) -> Meaning:
    for fault in faults:
        if known := BY_CODE.get(fault.code.lower()):
            return known
        if "incorrect_region" in fault.code.lower():
            return _WRONG_REGION
        if "accesskey has expired" in fault.message.lower():
            return _EXPIRED
    if known := BY_STATUS.get(status):
        return known
    if any(fault.retryable for fault in faults):
        return _SERVER_TROUBLE
    return _by_range(status)


def _by_range(status: int) -> Meaning:
    if status >= 500:
        return _SERVER_TROUBLE
    return _REDIRECTED if 300 <= status < 400 else _REFUSED


def _said(response: httpx.Response, status: int, faults: list[Fault]) -> str:
    words = "; ".join(plain(": ".join(filter(None, fault[:2]))) for fault in faults[:3])
    request_id = response.headers.get("x-request-id")
    trace = f", request id {plain(request_id, 64)}" if request_id else ""
    return f" (HTTP {status}{trace}" + (f': "{words}")' if words else ")")


def garbled(response: httpx.Response) -> Failure:
    """A 200 that is not JSON: cut off on the way, or somebody else's page."""
    kind = plain(response.headers.get("content-type", "no content type"), 60)
    return Failure(
        AnswerNotUnderstood(
            f"The answer is not JSON ({kind}, {len(response.content)} bytes), several times in a row. "
            "A proxy's page in Mimecast's place? Nothing was skipped; a later run tries again."
        ),
        Retry.GARBLED,
    )


def decoded(response: httpx.Response) -> object | None:
    """The body as JSON values; None where it is not JSON."""
    try:
        value: object = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value
