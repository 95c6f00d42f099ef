"""The HTTP client: trusted authorities, proxy, and what failures of the connection mean."""

import os
import socket
import ssl
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import certifi
import httpx
import truststore

from tasks.errors import AlertsError, AnswerNotUnderstood, ServiceUnavailable, Unreachable
from tasks.http.failure import Failure, Retry
from tasks.http.loopback import is_in_exempt_network, is_loopback, unreadable_entry
from tasks.sanitize import plain

TIMEOUT = httpx.Timeout(60, connect=15, pool=None)  # seconds without a byte
TOTAL_SECONDS = 180.0  # from the request to the last byte of its answer
ANSWER_BYTES = 64 * 2**20  # of an answer, as sent and decoded
ENCODINGS = ("", "identity", "gzip", "deflate")  # without those that expand a byte to megabytes
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


class AnswerTooLarge(httpx.RequestError):
    """An answer is larger than any that the service sends, or may become so when it is decoded."""


class HttpClient(httpx.Client):
    """A client whose answers are limited in size and time, and whose requests another thread can abort.

    A request may have a smaller limit of bytes in its extension `max_bytes`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(event_hooks={"request": [self._watch]}, **options)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._is_aborted = False

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """The answer, read and decoded; with `stream`, the answer whose body is not read yet."""
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._shut_down_connections()  # which of them the request uses is not known; other requests are repeated

        timer = threading.Timer(TOTAL_SECONDS, end)
        timer.daemon = True
        timer.start()
        try:
            response = super().send(request, stream=True, **options)
            if stream:
                return response
            with closing(response):
                content = _read_limited(response)
        except httpx.TransportError as error:
            if is_late.is_set():
                raise httpx.ReadTimeout("the answer is not complete in time", request=request) from error
            raise
        finally:
            timer.cancel()
        if is_late.is_set():  # a body without a length ends with its connection
            raise httpx.ReadTimeout("the answer is not complete in time", request=request)
        return _with_content(response, content)

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
        self._shut_down_connections()

    def _shut_down_connections(self) -> None:
        for connection in list(self._sockets):
            with suppress(OSError):  # already closed
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS


def _read_limited(response: httpx.Response) -> bytes:
    """The decoded body. Raises AnswerTooLarge."""
    request = response.request
    limit = request.extensions.get("max_bytes", ANSWER_BYTES)
    if response.headers.get("content-encoding", "").strip().lower() not in ENCODINGS:
        raise AnswerTooLarge("it has an encoding that was not requested", request=request)
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if max(len(content), response.num_bytes_downloaded) > limit:
            raise AnswerTooLarge(f"it has more than {limit} bytes", request=request)
    return bytes(content)


def _with_content(response: httpx.Response, content: bytes) -> httpx.Response:
    """The same answer with its decoded body."""
    encoded = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in encoded]
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=content,
        request=response.request,
        extensions=response.extensions,
    )


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
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
            trust_env=not _is_exempt(httpx.URL(base_url).host),
        )
    except (ValueError, ImportError, httpx.InvalidURL):  # ImportError: a SOCKS proxy
        if unreadable := unreadable_entry():
            variable, entry = unreadable
            raise Unreachable(
                f"The entry {plain(entry, 80)!r} of {variable} cannot be used. Write a host, a domain or an address."
            ) from None
        raise Unreachable(
            "The proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used. Set it to http://host:port."
        ) from None  # the cause may quote its password


def proxy_of(base_url: str) -> str | None:
    """The proxy the environment sets for this address, without its password."""
    url, proxies = httpx.URL(base_url), getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or _is_exempt(url.host) or proxy_bypass(url.host):
        return None
    proxy = httpx.URL(address if "://" in address else f"http://{address}")
    return plain(f"{proxy.scheme}://{proxy.host}" + (f":{proxy.port}" if proxy.port else ""))


def _is_exempt(host: str) -> bool:
    """Whether requests use no proxy although httpx would: to this machine itself, or to an excepted network."""
    return is_loopback(host) or is_in_exempt_network(host)


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
    if known := _system_failure(error, base_url, by):
        return known
    if isinstance(error, AnswerTooLarge):
        return Failure(
            AnswerNotUnderstood(
                f"The answer of {host}{by} cannot be one of this service: {error}. Nothing was skipped; a later run "
                "tries again. Check base URL and proxy."
            ),
            Retry.GARBLED,
        )
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


def _system_failure(error: httpx.RequestError, base_url: str, by: str) -> Failure | None:
    """The failure if the system's own error says more than that of httpx."""
    for cause in cause_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(
                Unreachable(
                    f"The certificate of {host_of(base_url)}{by} is not trusted: {plain(cause.verify_message)}. "
                    "Run `attachment-alerts test-connection` to see who issued it and what to do."
                )
            )
        if isinstance(cause, socket.gaierror):
            name = f"of the proxy {proxy}" if (proxy := proxy_of(base_url)) else plain(httpx.URL(base_url).host)
            return _lost_connection(Unreachable(f"The name {name} cannot be resolved. Check DNS and proxy."))
    return None


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
