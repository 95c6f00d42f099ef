"""The HTTP client: trusted authorities, proxy, and what failures of the connection mean."""

import os
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import certifi
import httpx
import truststore

from tasks.errors import AlertsError, ServiceUnavailable, Unreachable
from tasks.http.failure import Failure, Retry
from tasks.http.loopback import is_loopback
from tasks.sanitize import plain

TIMEOUT = httpx.Timeout(60, connect=15, pool=None)  # seconds
USER_AGENT = "attachment-alerts"
# Variables that name further authorities: OpenSSL's own two, and those of other programs.
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
HALF_A_SECOND = timedelta(seconds=0.5)  # a Date header is truncated to whole seconds
CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")  # steps of httpcore


def system_trust() -> ssl.SSLContext:
    """Verifies certificates by the system's authorities and those that the environment names.

    Raises Unreachable if a variable names no usable file or folder.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in CA_VARIABLES:
        place = os.environ.get(name)
        if not place:
            continue
        try:
            if Path(place).is_dir():
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except OSError as wrong:  # ssl.SSLError is one
            raise Unreachable(
                f"The certificate authorities in {name} cannot be read "
                f"({plain(wrong.strerror or type(wrong).__name__)}). Set it to an existing PEM file or folder."
            ) from wrong
    return context


def public_trust() -> ssl.SSLContext:
    """Verifies certificates by the public authorities only, whatever this machine trusts."""
    return ssl.create_default_context(cafile=certifi.where())


class HttpClient(httpx.Client):
    """A client whose requests another thread can abort."""

    def __init__(self, **options: Any) -> None:
        super().__init__(event_hooks={"request": [self._watch]}, **options)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._is_aborted = False

    def _watch(self, request: httpx.Request) -> None:
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event in CONNECTED:
            self._sockets.add(info["return_value"].get_extra_info("socket"))
            if self._is_aborted:  # by another thread while this one was connecting
                self.abort()

    def abort(self) -> None:
        """Shut down all connections for good. Closing one would not wake a thread that reads from it."""
        self._is_aborted = True
        for connection in list(self._sockets):
            with suppress(OSError):  # already closed
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS


def open_http(base_url: str, *, verify: ssl.SSLContext | None = None, auth: httpx.Auth | None = None) -> HttpClient:
    """A client for this host; `verify` defaults to `system_trust()`.

    Raises Unreachable if the settings of authorities or proxies cannot be used. Redirections are not followed, so that
    keys go to the configured host only.
    """
    if verify is None:
        encrypted = httpx.URL(base_url).scheme == "https"
        verify = system_trust() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return HttpClient(
            base_url=base_url,
            auth=auth,
            verify=verify,
            timeout=TIMEOUT,
            headers={"User-Agent": USER_AGENT},
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
            trust_env=not is_loopback(httpx.URL(base_url).host),  # no proxy to this machine itself
        )
    except (ValueError, ImportError, httpx.InvalidURL):  # ImportError: a SOCKS proxy
        raise Unreachable(
            "The proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used. Set it to http://host:port."
        ) from None  # the cause may quote its password


def proxy_of(base_url: str) -> str | None:
    """The proxy the environment sets for this address, without its password."""
    url, proxies = httpx.URL(base_url), getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxy = httpx.URL(address if "://" in address else f"http://{address}")
    return plain(f"{proxy.scheme}://{proxy.host}" + (f":{proxy.port}" if proxy.port else ""))


def clock_offset_of(answer: httpx.Response, asked_at: datetime, answered_at: datetime) -> timedelta | None:
    """The server's clock minus ours at the middle of the exchange; None without a readable Date header.

    `Age` is the time that the answer has been in a cache.
    """
    try:
        server = parsedate_to_datetime(answer.headers.get("date", ""))
        age = timedelta(seconds=int(answer.headers.get("age", "0")))
        ours = asked_at + (answered_at - asked_at) / 2
        return (server if server.tzinfo else server.replace(tzinfo=UTC)) + age + HALF_A_SECOND - ours
    except (ValueError, OverflowError):
        return None


def host_of(base_url: str) -> str:
    """The host, with the port unless it is the default."""
    return plain(httpx.URL(base_url).netloc.decode())


def cause_chain(error: BaseException) -> list[BaseException]:
    """The error and its causes, outermost first."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def transport_failure(error: httpx.RequestError, base_url: str) -> Failure:
    """Why there was no complete answer."""
    host, proxy = host_of(base_url), proxy_of(base_url)
    by = f" through the proxy {proxy}" if proxy else ""
    for cause in cause_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(
                Unreachable(
                    f"The certificate of {host}{by} is not trusted: {plain(cause.verify_message)}. "
                    "Run `attachment-alerts test-connection` to see who issued it and what to do."
                )
            )
        if isinstance(cause, socket.gaierror):
            name = f"of the proxy {proxy}" if proxy else plain(httpx.URL(base_url).host)
            return _lost_connection(Unreachable(f"The name {name} cannot be resolved. Check DNS and proxy."))
    if isinstance(error, httpx.ProxyError):
        return _proxy_failure(error, proxy)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        why = "no answer in time" if isinstance(error, httpx.TimeoutException) else _system_message(error)
        return _lost_connection(Unreachable(f"No connection to {host}{by}: {why}. Check network, firewall and proxy."))
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return Failure(
            Unreachable(f"No valid request to {host} can be built from these settings. Check base URL and keys.")
        )
    what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "closed the connection"
    return _lost_connection(ServiceUnavailable(f"{host}{by} {what} several times in a row. A later run tries again."))


def _lost_connection(error: AlertsError) -> Failure:
    return Failure(error, Retry.CONNECTION)


def _system_message(error: BaseException) -> str:
    numbered = [cause for cause in cause_chain(error) if isinstance(cause, OSError) and cause.strerror]
    return plain(numbered[-1].strerror or "") if numbered else "refused"


def _proxy_failure(error: httpx.ProxyError, proxy: str | None) -> Failure:
    said = plain(str(error), 80)
    if said.startswith("407"):
        return Failure(
            Unreachable(f"The proxy {proxy} requires authentication. Set HTTPS_PROXY=http://user:password@host:port.")
        )
    refused = Unreachable(
        f"The proxy {proxy} refused the connection ({said}). Ask its administrator to allow this host."
    )
    return Failure(refused) if said.startswith("4") else _lost_connection(refused)
