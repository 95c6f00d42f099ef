"""What a command does about the Prefect API it uses, before it asks it anything."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_HOST,
    temporary_settings,
)

from flows.server import api_in_use
from tests.proxy import VARIABLES


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy, and no exceptions; as it was in the end."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://proxy.example:8080")
    api_in_use.warn_of_clear_text.cache_clear()
    yield


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://prefect.example:4200/api", True), ("http://somebody:password@10.0.0.1/api", True),
        ("https://prefect.example/api", False), ("http://127.0.0.1:4200/api", False),
        ("http://localhost:4200/api", False), ("http://[::1]:4200/api", False),
    ],
)  # fmt: skip
def test_remote_api_over_http_is_reported_once(url: str, warned: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        api_in_use.secure()
        api_in_use.secure()
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == warned
    assert "password" not in said.err


@pytest.mark.parametrize(
    "setting", [{PREFECT_API_URL: "http://127.0.0.7:4200/api"}, {PREFECT_SERVER_API_HOST: "127.0.0.7"}]
)
def test_loopback_address_of_prefect_settings_bypasses_proxies(setting: dict[object, str], tmp_path: Path) -> None:
    with temporary_settings({PREFECT_HOME: str(tmp_path), **setting}):  # type: ignore[dict-item]
        api_in_use.secure()
    assert os.environ["no_proxy"] == "localhost,127.0.0.1,::1,127.0.0.7"


def test_database_of_our_own_server_becomes_private(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    database.touch()
    database.chmod(0o644)
    with temporary_settings({PREFECT_HOME: str(tmp_path), PREFECT_API_URL: "https://prefect.example/api"}):
        api_in_use.secure()
    assert database.stat().st_mode & 0o777 == 0o644, "of others' server nobody asked for it"
    with temporary_settings({PREFECT_HOME: str(tmp_path)}, restore_defaults={PREFECT_API_URL}):
        api_in_use.secure()
    assert database.stat().st_mode & 0o777 == 0o600
