"""A proxy on loopback that notes what it is asked for and lets nothing through."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class LoggingProxy(socketserver.ThreadingTCPServer):
    """`seen`: the request lines."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        super().__init__(("127.0.0.1", 0), _Refusal)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send everything here."""
        return dict.fromkeys(VARIABLES, f"http://127.0.0.1:{self.server_address[1]}")


class _Refusal(socketserver.StreamRequestHandler):
    server: LoggingProxy

    def handle(self) -> None:
        self.server.seen.append(self.rfile.readline().decode("latin-1").strip())
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def logging_proxy() -> Iterator[LoggingProxy]:
    with LoggingProxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
