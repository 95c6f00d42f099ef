"""Answers that are too large or never end cost neither memory nor time, and are failures like any other."""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from tasks.errors import AnswerNotUnderstood, ServiceUnavailable
from tasks.http import client as module
from tasks.http.client import AnswerTooLarge, open_http, transport_failure
from tasks.http.oauth import TOKEN_BYTES, request_token

LIMIT = 2**16
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Answer = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES", LIMIT)
    monkeypatch.setattr(module, "TOTAL_SECONDS", 30)


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Answers each connection once, then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def sized(body: bytes, *headers: bytes) -> Answer:
    length = b"Content-Length: %d" % len(body)
    return lambda connection: connection.sendall(HEAD + b"\r\n".join([length, *headers]) + b"\r\n\r\n" + body)


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b" " * 4_096)


def announced(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 5000000000\r\n\r\n")
    while True:
        connection.sendall(b" " * 4_096)


def dripping(start: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    return answer


CHUNK = 2**26  # bytes into which the 64 KiB that are decoded at once may expand
BOMB = 3 * CHUNK


def bomb(compress: Callable[[bytes, int], bytes], encoding: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        sized(compress(bytes(BOMB), 1), b"Content-Encoding: " + encoding)(connection)

    return answer


TOO_LARGE: dict[str, Answer] = {
    "without end": endless,
    "5 GB announced": announced,
    "one byte too many": sized(b" " * (LIMIT + 1)),
    "gzip bomb": bomb(gzip.compress, b"gzip"),
    "deflate bomb": bomb(zlib.compress, b"deflate"),
    "gzip in gzip": sized(gzip.compress(gzip.compress(b"[]")), b"Content-Encoding: gzip, gzip"),
    "encoding not requested": sized(b"x", b"Content-Encoding: br"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_answer_that_is_too_large_is_not_read(name: str) -> None:
    with server(TOO_LARGE[name]) as url, open_http(url) as http:
        with pytest.raises(AnswerTooLarge) as caught:
            http.get("/")
        assert isinstance(transport_failure(caught.value, url).error, AnswerNotUnderstood)


def test_bomb_is_decoded_up_to_the_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(bytes(BOMB), 1)
    monkeypatch.setattr(module, "TOTAL_SECONDS", 60)
    with server(sized(body, b"Content-Encoding: gzip")) as url, open_http(url) as http:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                http.get("/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < BOMB


@pytest.mark.parametrize(
    "start", [b"", HEAD, HEAD + b"\r\n", HEAD + b"Content-Length: 90\r\n\r\n"], ids=["status", "header", "end", "body"]
)
def test_answer_that_drips_ends_in_time(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.6)
    with server(dripping(start)) as url, open_http(url) as http:
        began = time.monotonic()
        with pytest.raises(httpx.ReadTimeout) as caught:
            http.get("/")
        assert time.monotonic() - began < 3
        assert isinstance(transport_failure(caught.value, url).error, ServiceUnavailable)


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_answer_up_to_the_limit_is_read_and_decoded(encoding: str) -> None:
    body = b"[1]" + b" " * (LIMIT - 3)
    encoded = {"": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    with server(sized(encoded, b"Content-Encoding: " + encoding.encode(), b"X-Own: 1")) as url, open_http(url) as http:
        answer = http.get("/")
    assert (answer.content, answer.json(), answer.headers["x-own"]) == (body, [1], "1")


def test_answer_with_a_token_has_a_smaller_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES", 2 * TOKEN_BYTES)
    body = b'{"access_token": "a"}' + b" " * TOKEN_BYTES
    with server(sized(body)) as url, open_http(url) as http:
        assert http.get("/").is_success
        with pytest.raises(AnswerTooLarge):
            request_token(http, f"{url}/token", {})
