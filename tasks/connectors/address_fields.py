"""Field types that products share: base URLs, and text that fits into an HTTP header."""

import re
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator, BeforeValidator, SecretStr

from tasks.connectors.base import Connector

SENDABLE = re.compile(r"[\x21-\x7e]*")  # what fits into an HTTP header


def check_base_url(value: str) -> str:
    """Scheme and host, without a slash at the end."""
    if not value:
        return value
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        raise ValueError("must be an address such as https://host") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError("must be an address such as https://host")
    if url.userinfo or url.query or url.fragment or url.path not in ("", "/"):
        raise ValueError("must be https://host without path, user and query")
    return str(url.copy_with(path="/")).rstrip("/")


def check_sendable(value: str) -> str:
    if not SENDABLE.fullmatch(value):
        raise ValueError("contains blanks, line ends or unusual characters; copy it again")
    return value


def _check_secret(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return SecretStr(check_sendable(text.strip())) if isinstance(text, str) else value


BaseUrl = Annotated[str, AfterValidator(check_base_url)]
SendableText = Annotated[str, AfterValidator(check_sendable)]
SendableSecret = Annotated[SecretStr, BeforeValidator(_check_secret)]


def check_host(connector: Connector, *, allowed: bool) -> None:
    """Raises ValueError if the keys would be sent to a host that is not the vendor's without permission."""
    if not allowed and not connector.is_vendor_host():
        raise ValueError(
            f"the base URL is not an https host of {connector.vendor}. To send the keys there, set "
            f'"{connector.titles()["allow_other_host"]}" (--allow-other-host)'
        )
