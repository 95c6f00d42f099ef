"""The meanings of Mimecast's error codes and statuses: the error, its message, and whether to retry."""

from tasks.errors import CredentialsRefused, PermissionMissing, ServiceUnavailable, WrongRegion
from tasks.http.error_codes import ErrorCodes
from tasks.http.failure import Meaning, Retry
from tasks.mimecast.api_1_error_codes import API_1_CODES, API_1_STATUSES

PERMISSION = "Monitoring | Attachment Protection | Read"
_TOKEN_REFUSED = Meaning(
    CredentialsRefused,
    Retry.TOKEN,
    "Mimecast rejects the token that it has just issued. Enable the application in the Mimecast console.",
)
_FORBIDDEN = Meaning(
    PermissionMissing,
    Retry.NEVER,
    "The keys are valid, but may not do this. Give the application (2.0: also its product Security Events) "
    f"or the user of the keys (1.0) the permission {PERMISSION}.",
)
WRONG_REGION = Meaning(
    WrongRegion, Retry.NEVER, "The account is in another region. Choose its region for this connector."
)

BY_CODE = {
    **API_1_CODES,
    "err_xdk_operation_forbidden_for_address": _FORBIDDEN,
    "app_forbidden": _FORBIDDEN,
    "token_expired": _TOKEN_REFUSED,
    "token_verification_failed": _TOKEN_REFUSED,
    "unauthorized request": _TOKEN_REFUSED,
    "err_audit_log_incorrect_region": WRONG_REGION,
}

STATUSES = ErrorCodes(
    "Mimecast",
    {
        401: Meaning(
            CredentialsRefused,
            Retry.NEVER,
            "Mimecast does not accept the keys of this connector. Copy them again from the console, or make new ones.",
        ),
        403: _FORBIDDEN,
        404: Meaning(
            WrongRegion,
            Retry.NEVER,
            "The host does not have this API, so it is not the API host of the account. Check region and base URL.",
        ),
        405: Meaning(
            ServiceUnavailable,
            Retry.METHOD,
            "Mimecast refused the method of a correct request. A later run tries again.",
        ),
        **API_1_STATUSES,
    },
)
TOKEN_ENDPOINT = Meaning(
    CredentialsRefused,
    Retry.NEVER,
    "Mimecast issued no token: the client id or the client secret is wrong, or the application is disabled. "
    "Copy both again, or make a new secret in the Mimecast console.",
)
