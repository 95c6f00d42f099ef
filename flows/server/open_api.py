"""Check whether a Prefect API requires a login, without loading Prefect, which takes seconds."""

from flows.console.terminal import print_message
from tasks.http.loopback import is_loopback
from tasks.sanitize import plain

TIMEOUT = 2.0  # seconds


def warn_if_open(url: str) -> None:
    """Warn if a Prefect API answers without a login."""
    import httpx  # noqa: PLC0415 - takes half a second to load

    try:
        version = httpx.URL(url.rstrip("/") + "/version").copy_with(userinfo=b"")
        response = httpx.get(version, timeout=TIMEOUT, trust_env=not is_loopback(version.host))
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # reported by whatever uses the API
    if response.is_success and "json" in response.headers.get("content-type", ""):
        shown = plain(str(version).removesuffix("/version"))
        print_message(
            f"The Prefect API at {shown} answers without a login: anyone who reaches it can read all saved keys and "
            "run commands on its workers. Close it as described in flows/server/README.md.",
            style="yellow",
        )
