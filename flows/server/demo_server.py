"""A Prefect server of the demo's own: started at once and in parallel with everything else, gone with the demo.

Prefect would start one by itself, but only after this process has imported the whole server too (6 s of 25), and with
the server's own messages on the terminal.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from flows.server import login as server_login
from flows.server.addresses import ORIGINS, own_origins
from tasks.errors import OperatorError
from tasks.store.files import open_private, tighten

# What is imported stays: Python's collector, which looks through it again and again, takes a fifth of the start.
SERVER = "import gc; gc.set_threshold(50_000); import uvicorn; uvicorn.main()"
PATIENCE = 120.0
STEP = 0.2


class OwnServer:
    """A server that may still be starting."""

    def __init__(self, url: str, login: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url, self.login, self._process, self._log = url, login, process, log

    def wait(self) -> None:
        """Until it answers. Raises OperatorError with the place of its log where it does not."""
        import httpx  # noqa: PLC0415 - half a second that the server's start does not have to wait for

        until = time.monotonic() + PATIENCE
        with httpx.Client(timeout=5.0, trust_env=False) as client:  # one: each reads all certificate authorities
            while time.monotonic() < until and self._process.poll() is None:
                try:
                    if client.get(f"{self.url}/health").is_success:
                        return
                except httpx.TransportError:
                    time.sleep(STEP)
        raise OperatorError(f"The demo's Prefect server did not start; {self._log} says why.")


def start(home: Path) -> OwnServer:
    """Begin to start a server with its database in `home`. It is stopped when this process ends.

    Call it before Prefect is imported: what is registered first is called last, so that Prefect can still send its
    last log lines and events.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    tighten(home)
    port, log = free_port(), home / "server.log"
    call = [sys.executable, "-c", SERVER, "--factory", "prefect.server.api.server:create_app"]
    call += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    as_prefect_does = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1", "PREFECT_UI_ENABLED": "0"}
    login = server_login.new_line()  # known to this process and the server only, and gone with them
    closed = {server_login.SERVER: login, ORIGINS: own_origins("127.0.0.1", port)}
    as_prefect_does["PREFECT_SERVER_REGISTER_BLOCKS_ON_START"] = "0"  # the forms of all products: seconds, for nobody
    with open_private(log, "wb") as lines:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, nothing typed by anybody
            call,
            env=os.environ | as_prefect_does | closed,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            start_new_session=True,  # Ctrl-C is for us; we stop it in good order
        )
    atexit.register(_stop, process)
    signal.signal(signal.SIGTERM, _leave)  # by itself it would end us without a word, and leave the server behind
    return OwnServer(f"http://127.0.0.1:{port}/api", login, process, log)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
