"""Check whether a Prefect API requires a login, without loading Prefect, which takes seconds."""

from flows.console.terminal import say
from tasks.http.loopback import is_loopback
from tasks.sanitize import plain

TIMEOUT = 2.0  # seconds


def warn_if_open(url: str) -> None:
    """Warn if a Prefect API answers without a login."""
    import httpx  # noqa: PLC0415 - where nothing is asked, it need not be loaded

    try:
        asked = httpx.URL(url.rstrip("/") + "/version").copy_with(userinfo=b"")
        answer = httpx.get(asked, timeout=TIMEOUT, trust_env=not is_loopback(asked.host))
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # reported by whatever uses the API
    if answer.is_success and "json" in answer.headers.get("content-type", ""):
        shown = plain(str(asked).removesuffix("/version"))
        say(
            f"The Prefect API at {shown} answers without a login: anyone who reaches it can read all saved keys and "
            "run commands on its workers. Close it as described in flows/server/README.md.",
            style="yellow",
        )
