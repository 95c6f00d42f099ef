"""Prefect servers that must not be trusted: one that requires no login, and one that belongs to another user."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.server.addresses import free_port
from flows.server.login import get_or_create
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store
from tests.processes import line, process
from tests.server import running
from tests.simulator import V2_KEYS

pytestmark = pytest.mark.server

NOBODY = 65534
# Looks like a Prefect server to whoever checks its health; prints the headers of each request.
IMPOSTOR = f"""
    import encodings.idna, http.server, json, os, sys  # the other user cannot read the interpreter's files

    os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            print(json.dumps([self.path, dict(self.headers)]), flush=True)
            self.send_response(200 if self.path == "/api/health" else 401)
            self.end_headers()
            self.wfile.write(b"true")
        do_POST = do_GET
        def log_message(self, *_): pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.stdin.readline())), Handler)
    print("listening", flush=True)
    server.serve_forever()
"""


def command(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(call, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def warnings(output: str, url: str) -> int:
    return sum(url in text and "without a login" in text for text in output.splitlines())


def test_commands_warn_of_a_server_without_a_login(home: Path) -> None:
    environment = running.own_environment(home) | {"ATTACHMENT_ALERTS_CLIENT_SECRET": V2_KEYS["client_secret"]}
    open_store(Settings(home=home)).publish()
    with running.api(environment) as url:
        environment |= {"PREFECT_API_URL": url, "PYTHONUNBUFFERED": "1"}
        health = command(environment, "health")
        added = command(environment, "connectors", "add", "acme", "--client-id", "x", "--no-test")
        assert added.returncode == 0, added.stderr
        assert (warnings(health.stderr, url), warnings(added.stderr, url)) == (1, 1)
        with running.started("serve", ["-m", "flows", "serve"], environment) as serving:
            log = home / "serve.log"
            running.wait_for(lambda: "Serving." in log.read_text(encoding="utf-8"), serving)
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(timeout=90) == 0
        assert warnings(log.read_text(encoding="utf-8"), url) == 1


@pytest.fixture
def impostor() -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A process of another user that listens on the port, and the port."""
    port = free_port()
    with process(IMPOSTOR, stdin=subprocess.PIPE) as started:
        assert started.stdin
        print(port, file=started.stdin, flush=True)
        assert line(started) == "listening"
        yield port, started
        started.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_server_of_another_user_is_neither_used_nor_sent_the_login(
    home: Path, impostor: tuple[int, "subprocess.Popen[str]"]
) -> None:
    port, other = impostor
    secret = get_or_create(home).line.partition(":")[2]
    environment = running.own_environment(home) | {"PREFECT_SERVER_API_PORT": str(port)}
    listed = command(environment, "connectors", "list", "--json")
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])  # answered by a temporary server
    assert f"http://127.0.0.1:{port}" in listed.stderr
    named = command(environment | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}, "connectors", "list")
    assert (named.returncode, "401" in named.stderr) == (1, True)
    served = command(environment, "serve")
    assert (served.returncode, str(port) in served.stderr) == (1, True)
    other.kill()
    assert other.stdout
    with closing(other.stdout):
        requests = [json.loads(text) for text in other.stdout]
    assert {path for path, _ in requests} > {"/api/health"}
    assert [path for path, headers in requests if "authorization" in map(str.lower, headers)] == []
    assert secret not in json.dumps(requests)
    assert secret not in listed.stderr + named.stderr + served.stderr
