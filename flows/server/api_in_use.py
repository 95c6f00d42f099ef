"""Protect the connection to the Prefect API and the files of our own server: both carry secrets."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect must be configured first

from functools import cache
from urllib.parse import urlsplit

from flows.console.terminal import print_message
from tasks.http.loopback import bypass_proxy_for_loopback, is_loopback
from tasks.private_files import restrict_to_owner
from tasks.sanitize import plain


def secure() -> None:
    """Bypass proxies for loopback, restrict the files of our own server, and warn of secrets sent in plain text.

    Call it after Prefect is imported, since a profile may set the API as well.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    api = urlsplit(settings.api.url or "")
    bypass_proxy_for_loopback(api.hostname or "", settings.server.api.host)
    if not settings.api.url:  # a server is started here, and its database contains the saved connectors
        restrict_to_owner(settings.home)
    elif api.scheme == "http" and not is_loopback(api.hostname or ""):
        warn_of_clear_text(api.netloc.rpartition("@")[2])


@cache  # once in a process
def warn_of_clear_text(host: str) -> None:
    """Warn that others can read what is sent to this API."""
    print_message(
        f"The Prefect API at {plain(host)} is used without TLS: the login, saved secrets and names from records are "
        "sent in plain text. Use https.",
        style="yellow",
    )
