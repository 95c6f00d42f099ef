"""Prefect as a command needs it: the project's settings, a server that answers, a quiet terminal."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect must be configured first; `--help` waits neither for it nor for
# psutil and httpx

import atexit
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from flows.console.terminal import print_message, show_log, show_progress
from flows.server import api_in_use, login, open_api, prefect_server, prefect_settings
from flows.server.addresses import address
from flows.server.child_process import CONSOLE_LEVEL
from tasks.http.loopback import is_loopback

if TYPE_CHECKING:
    from prefect.settings import Settings as PrefectSettings

_temporary_servers = ExitStack()
# Registered before Prefect is imported, so it runs after Prefect has sent its last log lines and events.
atexit.register(_temporary_servers.close)
_server_is_temporary = False


def load(home: Path, *, start_server: bool = True) -> None:
    """Import Prefect with this project's settings; if no server is configured or answers here, start a temporary one.

    Raises Unreachable if that server does not start.
    """
    configure()
    with show_progress("Loading Prefect"):
        import prefect.flows  # noqa: F401

        import tasks.saved_connectors  # noqa: F401 - both are only loaded
    show_log()
    if not _api_url():
        _use_local_server()
    api_in_use.secure()
    if _api_url():
        _use_login(home)
    elif start_server:
        with show_progress(
            "Starting a temporary Prefect server (10 to 25 s; `attachment-alerts serve` keeps one running)"
        ):
            server = start_temporary(home)
            use(server)
            server.wait_until_ready()


def configure() -> None:
    """Set this project's settings of Prefect in the environment; call it before Prefect is imported."""
    if "PREFECT_LOGGING_LEVEL" not in os.environ:
        # The command itself reports how a run ended, and the project's log has its own lines.
        os.environ |= {"PREFECT_LOGGING_LEVEL": "WARNING", CONSOLE_LEVEL: "CRITICAL"}
    prefect_settings.apply()


def start_temporary(log_folder: Path) -> prefect_server.PrefectServer:
    """Start a server that is stopped when this process ends."""
    global _server_is_temporary  # noqa: PLW0603 - like the environment it belongs to, it is this process's
    server = prefect_server.start_temporary(log_folder)
    _temporary_servers.callback(server.stop)
    _server_is_temporary = True
    return server


def use(server: prefect_server.PrefectServer) -> None:
    """Make this server the API that Prefect uses in this process."""
    os.environ |= {"PREFECT_API_URL": server.url, login.CLIENT: server.login}
    _reload_settings()


def calling_prefect(description: str = "Calling Prefect") -> AbstractContextManager[Callable[[str], None]]:
    """Show progress during calls of Prefect's API."""
    return show_progress(description)


def has_permanent_server() -> bool:
    """Whether the server in use outlives this command, and so runs schedules."""
    return bool(_api_url()) and not _server_is_temporary


def warn_of_open_api() -> None:
    """Warn if the permanent server, if there is one, requires no login."""
    if has_permanent_server():
        open_api.warn_if_open(_api_url())


def site_login() -> str | None:
    """The login that the site has configured for the servers it starts."""
    secret = _settings().server.api.auth_string
    return str(secret.get_secret_value()) or None if secret else None


def _settings() -> "PrefectSettings":
    from prefect.settings import get_current_settings

    return get_current_settings()


def _reload_settings() -> None:
    """Make Prefect read the environment again."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()


def _api_url() -> str:
    return str(_settings().api.url or "")


def _use_local_server() -> None:
    """Set PREFECT_API_URL for this process if a server of this user answers at the configured address."""
    import httpx

    from flows.server import listener

    server = _settings().server.api
    url = address(server.host, server.port)
    try:
        response = httpx.get(f"{url}/health", timeout=1.0, trust_env=False)
    except httpx.TransportError:
        return
    if not response.is_success or response.text.strip() != "true":
        return
    if not listener.is_ours(server.port):  # whoever opens the port first would be given the keys of all accounts
        print_message(
            f"The Prefect server at {url} may be another user's and is not used. If you trust it, set PREFECT_API_URL."
        )
        return
    os.environ["PREFECT_API_URL"] = url
    _reload_settings()
    print_message(f"Using the Prefect server at {url}. Set PREFECT_API_URL to use another.")


def _use_login(home: Path) -> None:
    """Unless a login is set, use the home's, but only for a server of this machine that was started with it.

    Another user may have opened the port, or a tunnel may lead to another machine.
    """
    import httpx

    from flows.server import listener

    api = _settings().api
    url = httpx.URL(str(api.url))
    if api.auth_string or api.key or not is_loopback(url.host):
        return
    line = site_login() or login.read(home)
    if line is None:
        return
    port = url.port or {"https": 443}.get(url.scheme, 80)
    if listener.was_started_with(port, login.SERVER, line):
        os.environ[login.CLIENT] = line
        _reload_settings()
    elif not listener.is_ours(port):
        print_message(
            f"The login of this home is not sent to {url}: its server may be another user's, or may have stopped.",
            style="yellow",
        )
