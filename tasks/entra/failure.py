"""A refusal of Microsoft Graph or of its sign-in: which error it is, what to do next, and whether to try again.

Codes before statuses: one status has several causes. Codes of the sign-in (AADSTS…) are Microsoft's page
"Microsoft Entra authentication and authorization error codes"; it warns that they change, so an unknown one is
shown and judged by its status.
"""

from typing import Any

import httpx

from tasks.errors import (
    CredentialsRefused,
    KeyExpired,
    PageTokenRefused,
    PermissionMissing,
    WrongRegion,
)
from tasks.http.error_codes import ErrorCodes
from tasks.http.failure import Failure, Meaning, Retry
from tasks.sanitize import plain

SECRETS_PAGE = "Entra admin center > App registrations > your application > Certificates & secrets"
_IDS = "Compare Directory (tenant) id and cloud with the Overview page of the app registration."
_NO_DIRECTORY = Meaning(CredentialsRefused, Retry.NEVER, f"This Microsoft cloud has no directory with this id. {_IDS}")
_CERTIFICATE = Meaning(
    CredentialsRefused,
    Retry.NEVER,
    "Microsoft does not accept the certificate: it is not one of this application. Upload it under "
    f"{SECRETS_PAGE}, and wait a few minutes.",
)
_CERTIFICATE_EXPIRED = Meaning(
    KeyExpired,
    Retry.NEVER,
    f"The certificate is not valid today. Make a new one, upload it under {SECRETS_PAGE}.",
)
BY_SIGN_IN_CODE = {
    7000215: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "The client secret is wrong. Make a new one and copy its column Value, not its Secret ID, under "
        f"{SECRETS_PAGE}, and save it with `attachment-alerts connectors rotate NAME`.",
    ),
    7000222: Meaning(
        KeyExpired,
        Retry.NEVER,
        f"The client secret has expired. Make a new one under {SECRETS_PAGE}.",
    ),
    700016: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "The directory has no application with this client id. Compare Application (client) id and Directory "
        "(tenant) id with the Overview page of the app registration; an application of another directory needs "
        "consent in this one first.",
    ),
    7000112: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "The application is disabled. Enable it: Entra admin center > Enterprise applications > your application > "
        "Properties > Enabled for users to sign-in.",
    ),
    90002: _NO_DIRECTORY,
    900023: _NO_DIRECTORY,
    900021: _NO_DIRECTORY,
    700027: _CERTIFICATE,
    7000214: _CERTIFICATE,  # revoked
    1000502: _CERTIFICATE_EXPIRED,
    700024: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "The signed statement is not valid at this time by Microsoft's clock. Correct this machine's clock (NTP).",
    ),
    500011: Meaning(
        WrongRegion,
        Retry.NEVER,
        "Microsoft Graph of this cloud is not known in the directory. Choose the cloud that the directory lives in.",
    ),
    53003: Meaning(
        CredentialsRefused,
        Retry.NEVER,
        "A Conditional Access policy for workload identities blocks the application from here. Ask for an exception "
        "for the address of this machine.",
    ),
}
_FORBIDDEN = Meaning(PermissionMissing, Retry.NEVER, "The application may not read this.")
_TOKEN_REFUSED = Meaning(
    CredentialsRefused,
    Retry.TOKEN,
    "Microsoft Graph refuses the token that was just issued. Check that the cloud is right and that an administrator "
    "gave consent to the application.",
)
BY_CODE = {
    "authorization_requestdenied": _FORBIDDEN,
    "invalidauthenticationtoken": _TOKEN_REFUSED,
    "authorization_identitynotfound": _TOKEN_REFUSED,
    "directory_expiredpagetoken": Meaning(
        PageTokenRefused, Retry.NEVER, "Microsoft Graph refused a page token in the middle of a listing."
    ),
}
_NOT_LICENSED = Meaning(
    PermissionMissing, Retry.NEVER, "Microsoft Graph says that this directory does not use the product (no licence)."
)
STATUSES = ErrorCodes(
    "Microsoft",
    {
        # Intune answers 401 also where the directory has none of it: it is a matter of permission only once a new
        # token has not helped.
        401: Meaning(PermissionMissing, Retry.TOKEN, "The application may not read this."),
        403: _FORBIDDEN,
        404: Meaning(
            WrongRegion,
            Retry.NEVER,
            "The host does not know this call, so it is not Microsoft Graph. Check the base URL.",
        ),
    },
)
_NO_TOKEN = Meaning(
    CredentialsRefused,
    Retry.NEVER,
    "Microsoft issued no token for this application. Look up the code at https://login.microsoftonline.com/error, and "
    f"check directory id, client id and what is under {SECRETS_PAGE}.",
)


def graph_failure(response: httpx.Response, body: object) -> Failure:
    """Why a call of Graph brought no result. Its message is shown: it is about the request, not about keys."""
    error = body.get("error") if isinstance(body, dict) else None
    code, message = (
        (str(error.get(name) or "") for name in ("code", "message")) if isinstance(error, dict) else ("", "")
    )
    if "not applicable to target tenant" in message.lower():
        meaning = _NOT_LICENSED
    else:
        meaning = BY_CODE.get(code.lower()) or STATUSES.meaning(response.status_code)
    said, request_id = plain(": ".join(filter(None, (code, message)))), response.headers.get("request-id")
    return STATUSES.failure(meaning, response.status_code, request_id=request_id, said=f'"{said}"' if said else "")


def sign_in_failure(response: httpx.Response, body: object) -> Failure:
    """Why no token was issued. Only code and correlation id are repeated: a text may quote what was sent."""
    if response.is_success:
        return STATUSES.no_token()
    answer: dict[str, Any] = body if isinstance(body, dict) else {}
    listed = answer.get("error_codes")
    codes = [code for code in (listed if isinstance(listed, list) else []) if isinstance(code, int)]
    known = [BY_SIGN_IN_CODE[code] for code in codes if code in BY_SIGN_IN_CODE]
    status = response.status_code
    fallback = _NO_TOKEN if status in (400, 401, 403) else STATUSES.meaning(status)
    if answer.get("error") == "temporarily_unavailable":
        fallback = STATUSES.server_error
    shown = ", ".join(f"AADSTS{code}" for code in codes[:3])
    return STATUSES.failure(
        known[0] if known else fallback, status, request_id=answer.get("correlation_id"), said=shown
    )
