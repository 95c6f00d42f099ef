"""Error codes and statuses that only API 1.0 uses."""

from tasks.errors import CredentialsRefused, KeyExpired
from tasks.http.failure import Meaning, Retry

EXPIRED = Meaning(
    KeyExpired, Retry.NEVER, "The access key of this connector has expired. Make new keys in the Mimecast console."
)
API_1_CODES = {
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
}
API_1_STATUSES = {418: EXPIRED}
