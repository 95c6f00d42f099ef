from collections.abc import Iterator

import pytest

from tasks.http import retry
from tasks.http.client import CA_VARIABLES

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between retries take milliseconds instead of seconds."""
    monkeypatch.setattr(retry, "PACE", 0.0005)


@pytest.fixture
def bare_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy and no company authority, whatever is configured on this machine."""
    for name in (*CA_VARIABLES, *PROXIES, *(name.upper() for name in PROXIES)):
        monkeypatch.delenv(name, raising=False)
    yield
