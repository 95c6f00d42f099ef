"""Whether a Prefect API lets everybody in; asked without Prefect, which takes seconds to load."""

from flows.console.terminal import say
from tasks.http.loopback import is_loopback
from tasks.sanitize import plain

PATIENCE = 2.0  # seconds


def warn_if_open(url: str) -> None:
    """Say so where a Prefect API answers without a login."""
    import httpx  # noqa: PLC0415 - where nothing is asked, it need not be loaded

    try:
        asked = httpx.URL(url.rstrip("/") + "/version").copy_with(userinfo=b"")
        answer = httpx.get(asked, timeout=PATIENCE, trust_env=not is_loopback(asked.host))
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # whoever wants something of it says so
    if answer.is_success and "json" in answer.headers.get("content-type", ""):
        shown = plain(str(asked).removesuffix("/version"))
        say(
            f"The Prefect API at {shown} answers without a login: whoever reaches it can read all saved keys and run "
            "commands on its workers. Close it as flows/server/README.md says.",
            style="yellow",
        )
