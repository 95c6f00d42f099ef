from typing import Any

import httpx
import pytest

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
from tasks.http.failure import Retry
from tasks.mimecast.failure import failure_of, faults_of, token_failure


def nested(code: str, message: str = "", retryable: bool = False) -> dict[str, Any]:
    error = {"code": code, "message": message, "retryable": retryable}
    return {"meta": {"status": 200}, "data": [], "fail": [{"key": {"username": "u"}, "errors": [error]}]}


def flat(code: str, message: str = "") -> dict[str, Any]:
    return {"fail": [{"code": code, "message": message}]}


@pytest.mark.parametrize(
    ("status", "body", "error", "retry"),
    [
        (200, nested("err_developer_key", "App ID is invalid"), CredentialsRefused, Retry.APPLICATION_ID),
        (401, nested("err_xdk_invalid_signature", "0004 Invalid"), CredentialsRefused, Retry.NEVER),
        (418, nested("err_xdk_binding_expired"), KeyExpired, Retry.NEVER),
        (200, nested("err_xdk_binding_expired"), KeyExpired, Retry.NEVER),
        (401, nested("err_other", "AccessKey Has Expired"), KeyExpired, Retry.NEVER),
        (418, None, KeyExpired, Retry.NEVER),
        (403, nested("err_audit_log_incorrect_region"), WrongRegion, Retry.NEVER),
        (403, nested("err_track_incorrect_region_x"), WrongRegion, Retry.NEVER),
        (200, nested("err_xdk_operation_forbidden_for_address"), PermissionMissing, Retry.NEVER),
        (403, flat("app_forbidden", "does not exist in any product"), PermissionMissing, Retry.NEVER),
        (403, None, PermissionMissing, Retry.NEVER),
        (401, flat("token_expired"), CredentialsRefused, Retry.TOKEN),
        (401, flat("token_verification_failed"), CredentialsRefused, Retry.TOKEN),
        (401, flat("Unauthorized Request"), CredentialsRefused, Retry.TOKEN),
        (401, flat("unauthorized"), CredentialsRefused, Retry.NEVER),
        (401, None, CredentialsRefused, Retry.NEVER),
        (404, None, WrongRegion, Retry.NEVER),
        (405, None, ServiceUnavailable, Retry.METHOD),
        (407, None, Unreachable, Retry.NEVER),
        (429, None, ServiceUnavailable, Retry.THROTTLED),
        (429, {"detail": "Over throttling limit (10000/hour)"}, ServiceUnavailable, Retry.THROTTLED),
        (500, {"meta": {"status": 500}, "data": [], "fail": []}, ServiceUnavailable, Retry.SERVER),
        (500, {"error": {"message": "x"}}, ServiceUnavailable, Retry.SERVER),
        (502, None, ServiceUnavailable, Retry.SERVER),
        (503, None, ServiceUnavailable, Retry.SERVER),
        (504, None, ServiceUnavailable, Retry.SERVER),
        (509, None, ServiceUnavailable, Retry.SERVER),
        (200, nested("err_unheard_of", retryable=True), ServiceUnavailable, Retry.SERVER),
        (200, nested("err_unheard_of"), ServiceError, Retry.NEVER),
        (200, nested("err_validation_null"), ServiceError, Retry.NEVER),
        (200, {"meta": {}, "data": [], "fail": [{}]}, ServiceError, Retry.NEVER),
        (200, {"meta": {}, "data": [], "fail": "no"}, ServiceError, Retry.NEVER),
        (200, {"meta": {"status": 401}, "data": []}, CredentialsRefused, Retry.NEVER),
        (400, {"error": {"message": "bad"}}, ServiceError, Retry.NEVER),
        (409, None, ServiceError, Retry.NEVER),
        (302, None, Unreachable, Retry.NEVER),
        (204, None, ServiceError, Retry.NEVER),
    ],
)
def test_refusal_has_its_error_and_retry_rule(status: int, body: Any, error: type[AlertsError], retry: Retry) -> None:
    failure = failure_of(httpx.Response(status), body)
    assert failure is not None
    assert type(failure.error) is error
    assert failure.retry is retry
    assert f"HTTP {status}" in str(failure.error) or body["meta"]["status"] == 401


@pytest.mark.parametrize("body", [{"meta": {"status": 200}, "data": [], "fail": []}, {"data": []}, None, []])
def test_success_is_no_failure(body: Any) -> None:
    assert failure_of(httpx.Response(200), body) is None


def test_error_text_has_code_message_and_request_id_escaped() -> None:
    response = httpx.Response(400, headers={"x-request-id": "req-\x7f1"})
    failure = failure_of(response, flat("err_\x1b[2J", "line\nbreak " + "x" * 500))
    assert failure is not None
    text = str(failure.error)
    assert text.isprintable()
    assert r"err_\x1b[2J: line\x0abreak" in text
    assert r"req-\x7f1" in text
    assert len(text) < 500


def test_errors_are_read_from_every_shape() -> None:
    assert [fault.code for fault in faults_of({"fail": [{"errors": [{"code": "a"}, {"code": "b"}]}]})] == [
        "a",
        "b",
    ]
    assert [fault.code for fault in faults_of({"fail": [{"code": "a"}, {"errors": [], "code": "c"}]})] == [
        "a",
        "c",
    ]
    assert faults_of({"error": {"message": "m"}})[0].message == "m"
    assert faults_of({"error": "invalid_client"})[0].code == "invalid_client"
    assert faults_of({"fail": None}) == faults_of({}) == faults_of(None) == []


@pytest.mark.parametrize(
    ("status", "error", "retry"),
    [
        (400, CredentialsRefused, Retry.NEVER),
        (401, CredentialsRefused, Retry.NEVER),
        (403, CredentialsRefused, Retry.NEVER),
        (404, WrongRegion, Retry.NEVER),
        (429, ServiceUnavailable, Retry.THROTTLED),
        (502, ServiceUnavailable, Retry.SERVER),
        (200, AnswerNotUnderstood, Retry.GARBLED),
    ],
)
def test_refusal_of_a_token_has_its_error_and_hides_the_message(
    status: int, error: type[AlertsError], retry: Retry
) -> None:
    quoting = flat("invalid_client", "the secret s3cr3t is wrong")
    failure = token_failure(httpx.Response(status), quoting)
    assert type(failure.error) is error
    assert failure.retry is retry
    assert "s3cr3t" not in str(failure.error)
