"""What Mimecast's codes and statuses mean: which error, in a sentence for the person, and whether to try again."""

from tasks.errors import (
    CredentialsRefused,
    KeyExpired,
    PermissionMissing,
    ServiceError,
    ServiceUnavailable,
    Unreachable,
    WrongRegion,
)
from tasks.http.failure import Meaning, Retry

PERMISSION = "Monitoring | Attachment Protection | Read"
_TOKEN_REFUSED = Meaning(
    CredentialsRefused,
    Retry.TOKEN,
    "Mimecast refuses the token it has just issued. Check in the Mimecast console that the application is enabled.",
)
EXPIRED = Meaning(
    KeyExpired, Retry.NEVER, "The access key of this connector has expired. Make new keys in the Mimecast console."
)
_FORBIDDEN = Meaning(
    PermissionMissing,
    Retry.NEVER,
    "The keys are good, but may not do this. Give the application (2.0: also its product Security Events) "
    f"or the user of the keys (1.0) the permission {PERMISSION}.",
)
WRONG_REGION = Meaning(
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
    "err_xdk_binding_expired": EXPIRED,
    "err_xdk_operation_forbidden_for_address": _FORBIDDEN,
    "app_forbidden": _FORBIDDEN,
    "token_expired": _TOKEN_REFUSED,
    "token_verification_failed": _TOKEN_REFUSED,
    "unauthorized request": _TOKEN_REFUSED,
    "err_audit_log_incorrect_region": WRONG_REGION,
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
    418: EXPIRED,
    429: Meaning(
        ServiceUnavailable,
        Retry.THROTTLED,
        "Mimecast's request quota of this account stays used up. Is another program using the same keys? "
        "A later run tries again.",
    ),
}
SERVER_TROUBLE = Meaning(ServiceUnavailable, Retry.SERVER, "Mimecast's service is in trouble. A later run tries again.")
REDIRECTED = Meaning(
    Unreachable,
    Retry.NEVER,
    "The answer is a redirection, so something else answers in Mimecast's place. Check base URL and proxy.",
)
REFUSED = Meaning(ServiceError, Retry.NEVER, "Mimecast refuses the request. Report it with this text if it stays so.")
TOKEN_ENDPOINT = Meaning(
    CredentialsRefused,
    Retry.NEVER,
    "Mimecast issues no token: the client id or the client secret is wrong, or the application is disabled. "
    "Copy both again, or make a new secret in the Mimecast console.",
)
