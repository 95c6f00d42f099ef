"""Which requests go through a proxy, as httpx and websockets themselves decide."""

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from tasks.errors import Unreachable
from tasks.http.client import open_http, proxy_of
from tasks.http.loopback import bypass_proxy_for_loopback, is_loopback
from tests.proxy import VARIABLES, LoggingProxy, logging_proxy

ALWAYS = "localhost,127.0.0.1,::1"
# Port 9: nothing listens there.
HERE = ("http://localhost:9", "http://127.0.0.1:9", "http://[::1]:9")
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the authorities, which take long to read
OTHER = "http://service.example"


@pytest.fixture(scope="module")
def running() -> Iterator[LoggingProxy]:
    with logging_proxy() as proxy:
        yield proxy


@pytest.fixture
def proxy(running: LoggingProxy, monkeypatch: pytest.MonkeyPatch) -> LoggingProxy:
    """A proxy in all variables, and no exceptions; the environment is as it was in the end."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    running.seen.clear()
    return running


def ask(*urls: str) -> None:
    """Requests and websockets; none comes to anything."""
    with httpx.Client(timeout=5, verify=PLAIN) as client:
        for url in urls:
            with suppress(httpx.TransportError):
                client.get(url)
            with suppress(OSError, InvalidHandshake):
                connect(url.replace("http", "ws", 1), open_timeout=5).close()


@pytest.mark.parametrize("url", HERE)
def test_nothing_for_this_machine_goes_through_a_proxy(proxy: LoggingProxy, url: str) -> None:
    ask(url)
    assert len(proxy.seen) == 2, "so this test would see it"
    proxy.seen.clear()
    bypass_proxy_for_loopback()
    ask(url)
    assert proxy.seen == []
    ask(OTHER)
    assert [line.split()[0] for line in proxy.seen] == ["GET", "CONNECT"], "anything else still does"


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (None, "corp.example"), ("corp.example", None), ("", "corp.example"), ("corp.example", ""), ("*", None),
        (None, "*"), ("*,corp.example", "*"), (" * ", None), ("[::1]", "[::1]"), ("127.0.0.0/8", None),
        ("fd00:1::/64", None), ("corp.example [::1]", "::/0 *"), (" , ,", ",,"), (None, "::1/128 10.0.0.0/8"),
    ],
)  # fmt: skip
def test_whatever_is_excepted_already(
    proxy: LoggingProxy, monkeypatch: pytest.MonkeyPatch, lower: str | None, upper: str | None
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            monkeypatch.setenv(name, value)
    bypass_proxy_for_loopback()
    ask(*HERE)
    assert proxy.seen == []


@pytest.mark.parametrize(
    ("lower", "upper", "lower_after", "upper_after"),
    [
        (None, None, ALWAYS, ALWAYS),
        (None, "corp.example", f"corp.example,{ALWAYS}", f"corp.example,{ALWAYS}"),
        ("corp.example", None, f"corp.example,{ALWAYS}", f"corp.example,{ALWAYS}"),
        ("a.example", "b.example", f"a.example,{ALWAYS}", f"b.example,{ALWAYS}"),
        ("", "b.example", ALWAYS, f"b.example,{ALWAYS}"),
        ("*", None, "*", "*"),
        ("*,a.example", None, "*", "*"),
        ("a.example b.example", None, f"a.example,b.example,{ALWAYS}", f"a.example,b.example,{ALWAYS}"),
        ("10.0.0.0/8, fd00:1::/64,[fd00:2::]/64", None, f"10.0.0.0/8,{ALWAYS}", f"10.0.0.0/8,{ALWAYS}"),
        ("[fd00:1::5]", None, f"fd00:1::5,{ALWAYS}", f"fd00:1::5,{ALWAYS}"),
        (None, "localhost , 127.0.0.1", ALWAYS, ALWAYS),
        (None, "[::1]", "::1,localhost,127.0.0.1", "::1,localhost,127.0.0.1"),
    ],
)  # fmt: skip
def test_what_was_excepted_stays(
    proxy: LoggingProxy,
    monkeypatch: pytest.MonkeyPatch,
    lower: str | None,
    upper: str | None,
    lower_after: str,
    upper_after: str,
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            monkeypatch.setenv(name, value)
    for _ in range(2):
        bypass_proxy_for_loopback()
        assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (lower_after, upper_after)


def test_other_addresses_of_this_machine_are_excepted_by_name(proxy: LoggingProxy) -> None:
    bypass_proxy_for_loopback("127.0.0.5", "0.0.0.0", "prefect.example", "10.0.0.1", "localhost", "127.0.0.5")  # noqa: S104
    assert os.environ["NO_PROXY"] == f"{ALWAYS},127.0.0.5,0.0.0.0"
    ask("http://127.0.0.5:9")
    assert proxy.seen == []


def test_without_a_proxy_nothing_is_set(proxy: LoggingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    bypass_proxy_for_loopback()
    assert {"no_proxy", "NO_PROXY"}.isdisjoint(os.environ)


@pytest.mark.parametrize("value", ["fd00:1::/64", "[::1]", "a.example b.example", "*", "10.0.0.0/8", " , ,"])
def test_entries_are_readable_without_a_proxy_too(
    proxy: LoggingProxy, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", value)
    bypass_proxy_for_loopback()
    ask(*HERE)
    assert "no_proxy" not in os.environ
    open_http(OTHER).close()


@pytest.mark.parametrize(
    ("value", "host", "is_exempt"),
    [
        ("10.0.0.0/8", "10.1.2.3", True), ("10.0.0.0/8", "11.1.2.3", False), ("10.0.0.0/8 fd00::/16", "fd00::1", True),
        ("[fd00::]/16", "fd00::1", True), ("10.0.0.0/99", "10.1.2.3", False), ("10.0.0.0/8", "ten.example", False),
    ],
)  # fmt: skip
def test_address_in_an_excepted_network_uses_no_proxy(
    proxy: LoggingProxy, monkeypatch: pytest.MonkeyPatch, value: str, host: str, is_exempt: bool
) -> None:
    monkeypatch.setenv("NO_PROXY", value)
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    assert (proxy_of(url) is None) is is_exempt
    bypass_proxy_for_loopback(host)
    assert (host in os.environ["NO_PROXY"].split(",")) is is_exempt


@pytest.mark.parametrize("entry", ["[fd00::", "host:port", "fd00:1::/64", "[::1]"])
def test_entry_that_cannot_be_used_is_named(proxy: LoggingProxy, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("NO_PROXY", f"good.example,{entry}")
    with pytest.raises(Unreachable, match="NO_PROXY") as caught:
        open_http(OTHER)
    assert entry in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True), ("LOCALHOST", True), ("a.localhost", True), ("127.0.0.1", True), ("127.3.2.1", True),
        ("::1", True), ("0.0.0.0", True), ("::", True), ("notlocalhost", False), ("localhost.example", False),  # noqa: S104
        ("10.0.0.1", False), ("2001:db8::1", False), ("127.0.0.1.example", False), ("", False),
    ],
)  # fmt: skip
def test_is_loopback(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here
