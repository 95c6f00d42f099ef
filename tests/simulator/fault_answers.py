"""The answers of faults that do not concern paging: instead of a successful answer, or made from one."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulator.answers import Answer, Envelopes, flat_failure, html_page
from tests.simulator.credentials import expired_keys, refused_application
from tests.simulator.faults import Fault

_SLOW_SECONDS = 2.0


def forbidden(envelopes: Envelopes) -> Answer:
    """The keys are good, but their role or product does not include this function."""
    if envelopes.generation == 1:
        code, message = (
            "err_xdk_operation_forbidden_for_address",
            "0003 Forbidden To Perform Operation For Address",
        )
        return envelopes.failed(403, code, message)
    message = "The method requested does not exist in any product assigned to this application"
    return flat_failure(403, "app_forbidden", message)


_REFUSALS: dict[Fault, Callable[[Envelopes], Answer]] = {
    Fault.S500: lambda envelopes: envelopes.bare(500),
    Fault.S502: lambda _: html_page(502, "502 Bad Gateway"),
    Fault.S503: lambda _: Answer(503),
    Fault.S405: lambda _: Answer(405, headers={"allow": "POST"}),
    Fault.S418: expired_keys,
    Fault.S403: forbidden,
    Fault.WRONG_REGION: lambda envelopes: envelopes.failed(
        403, "err_audit_log_incorrect_region", "The account is hosted in another region"
    ),
    Fault.DEVELOPER_KEY: lambda envelopes: refused_application(envelopes, "INVALID"),
    Fault.TOKEN_UNVERIFIED: lambda _: flat_failure(
        401, "token_verification_failed", "The access token could not be verified"
    ),
    Fault.HTML_200: lambda _: html_page(200, "Sign in to continue"),
    Fault.EMPTY_200: lambda _: Answer(200, headers={"content-type": "application/json"}),
    Fault.FAIL_200: lambda envelopes: envelopes.failed(200, "err_validation_null", "Must not be null", "from"),
}


def answer_instead(fault: Fault, envelopes: Envelopes) -> Answer | None:
    """The answer of a fault for which the request is not processed; None for other faults."""
    make = _REFUSALS.get(fault)
    return make(envelopes) if make else None


def altered(answer: Answer, fault: Fault, seconds: float | None) -> Answer:
    """The answer as the fault changes it."""
    half = len(answer.body) // 2
    if fault is Fault.CUT:
        return replace(answer, cut_at=half)
    if fault is Fault.TRUNCATED_JSON:
        return replace(answer, body=answer.body[:half])
    if fault is Fault.SLOW:
        return replace(answer, delay=_SLOW_SECONDS if seconds is None else seconds)
    return answer
