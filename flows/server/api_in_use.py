"""The way to the Prefect API in use, and the files of one of our own: what they carry and hold includes secrets."""

from functools import cache
from importlib import import_module
from urllib.parse import urlsplit

from flows.console.terminal import say
from tasks.http.loopback import bypass_proxy_for_loopback, is_loopback
from tasks.sanitize import plain
from tasks.store.files import tighten


def secure() -> None:
    """Keep requests to loopback from proxies, files of our own server from others; warn of what goes in clear.

    Prefect is imported by now: a profile may name the API, too.
    """
    settings = import_module("prefect.settings").get_current_settings()
    api = urlsplit(settings.api.url or "")
    bypass_proxy_for_loopback(api.hostname or "", settings.server.api.host)
    if not settings.api.url:  # a server is started here, and its database holds the saved connectors
        tighten(settings.home)
    elif api.scheme == "http" and not is_loopback(api.hostname or ""):
        warn_of_clear_text(api.netloc.rpartition("@")[2])


@cache  # once in a process
def warn_of_clear_text(host: str) -> None:
    """Say that what goes to this API can be read on its way."""
    say(
        f"The Prefect API at {plain(host)} is used without TLS: the login, saved secrets and names from records go "
        "over the network in clear. Use https.",
        style="yellow",
    )
