"""The login of a site's own server: who can read it, who is sent it, and the warning of an API without one."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flows.cli.app import main
from flows.server import listener as listening
from flows.server.addresses import free_port, own_origins
from flows.server.login import SERVER, get_or_create, login_file, read, rotate
from flows.server.open_api import warn_if_open
from tasks.errors import OperatorError
from tests.processes import line, process

LISTENS = """
    import socket, sys
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
"""


def rights(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.fixture(params=[0, 0o777])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
def test_login_file_in_a_public_home_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    login = get_or_create(tmp_path)
    assert login.created
    assert len(login.line.partition("admin:")[2]) >= 40
    assert rights(login_file(tmp_path)) == 0o600
    assert get_or_create(tmp_path) == (login.line, False)
    assert [each.name for each in tmp_path.iterdir()] == [login_file(tmp_path).name]
    assert rotate(tmp_path) != login.line
    assert rights(login_file(tmp_path)) == 0o600
    assert read(tmp_path) == get_or_create(tmp_path).line != login.line


def test_read_without_a_login_creates_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "home") is None
    assert not (tmp_path / "home").exists()


def test_concurrent_first_starts_get_the_same_login(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from flows.server.login import get_or_create
        print("ready", flush=True)
        sys.stdin.read(1)
        print(*get_or_create(Path({str(tmp_path)!r})), flush=True)
    """
    starts = [process(script, stdin=subprocess.PIPE) for _ in range(3)]
    assert [line(each) for each in starts] == ["ready"] * 3
    for each in starts:
        assert each.stdin
        each.stdin.write("\n")
        each.stdin.flush()
    results = [start.communicate()[0].split() for start in starts]
    assert {got for got, _ in results} == {read(tmp_path)}
    assert sorted(created for _, created in results) == ["False", "False", "True"]


def test_login_readable_by_others_is_replaced(tmp_path: Path) -> None:
    before = get_or_create(tmp_path).line
    login_file(tmp_path).chmod(0o640)
    after = read(tmp_path)
    assert after not in (None, before)
    assert rights(login_file(tmp_path)) == 0o600
    assert read(tmp_path) == after


def linked(file: Path) -> None:
    (file.parent / "elsewhere").write_text("admin:known-to-others\n")
    (file.parent / "elsewhere").chmod(0o600)
    file.symlink_to("elsewhere")


def piped(file: Path) -> None:
    os.mkfifo(file, 0o600)


def emptied(file: Path) -> None:
    file.touch(mode=0o600)


def test_login_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_or_create(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for use in (read, get_or_create):
        with pytest.raises(OperatorError):
            use(tmp_path)


@pytest.mark.parametrize("put", [linked, piped, emptied])
def test_login_file_that_cannot_be_trusted_is_refused_until_rotated(
    put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(login_file(tmp_path))
    for use in (read, get_or_create):
        with pytest.raises(OperatorError) as refused:
            use(tmp_path)
        assert "known-to-others" not in str(refused.value)
    assert rotate(tmp_path) == read(tmp_path)


def test_server_login_prints_the_login_only_with_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*options: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end:
            main(["server-login", *options, "--home", str(tmp_path)])
        assert end.value.code == 0
        out, err = capsys.readouterr()
        return out, err

    out, err = said()
    first = get_or_create(tmp_path).line
    assert first.partition(":")[2] not in out + err
    assert str(login_file(tmp_path)) in err
    assert said("--show")[0] == f"{first}\n"
    second = said("--rotate", "--show")[0].strip()
    assert second == get_or_create(tmp_path).line != first
    with pytest.raises(SystemExit) as end:
        main(["server-login", "--home", str(tmp_path / "mistyped")])
    assert end.value.code == 1
    assert not (tmp_path / "mistyped").exists()


@pytest.fixture
def started() -> Iterator[Callable[..., int]]:
    """Start a process that listens, and return its port."""
    running = []

    def start(environment: dict[str, str]) -> int:
        running.append(process(LISTENS, stdin=subprocess.PIPE, env=os.environ | environment))
        return int(line(running[-1]))

    yield start
    for each in running:
        each.communicate()


def test_was_started_with_needs_an_own_process_with_the_login(started: Callable[..., int]) -> None:
    server, tunnel = started({SERVER: "admin:one"}), started({"PREFECT_API_AUTH_STRING": "admin:one"})
    assert listening.was_started_with(server, SERVER, "admin:one")
    assert not listening.was_started_with(server, SERVER, "admin:another")
    assert listening.is_ours(tunnel)
    assert not listening.was_started_with(tunnel, SERVER, "admin:one")
    assert not listening.is_ours(free_port())
    assert not listening.was_started_with(free_port(), SERVER, "admin:one")


def test_process_of_another_user_is_not_ours(started: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    port = started({SERVER: "admin:one"})
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not listening.is_ours(port)
    assert not listening.was_started_with(port, SERVER, "admin:one")


class Api(BaseHTTPRequestHandler):
    """Answers like a server with or without a login, or like another product."""

    answer: tuple[int, str] = (200, "application/json")

    def do_GET(self) -> None:
        assert self.path == "/api/version"
        assert "Authorization" not in self.headers
        self.send_response(self.answer[0])
        self.send_header("Content-Type", self.answer[1])
        self.end_headers()
        self.wfile.write(b'"0.8.4"')

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "warned"),
    [((200, "application/json"), True), ((401, "application/json"), False), ((200, "text/html"), False)],
)
def test_api_without_login_is_reported(
    answer: tuple[int, str], warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(Api, "answer", answer)
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        Thread(target=server.handle_request).start()
        warn_if_open(f"http://me:hush@127.0.0.1:{server.server_port}/api")
    said = capsys.readouterr().err
    assert ("without a login" in said) == warned
    assert "hush" not in said


def test_api_that_does_not_answer_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    warn_if_open(f"http://127.0.0.1:{free_port()}/api")
    assert capsys.readouterr().err == ""


def test_own_origins_never_include_a_wildcard() -> None:
    assert own_origins("::", 4300).split(",")[:3] == [f"http://{h}:4300" for h in ("127.0.0.1", "localhost", "[::1]")]
    assert "*" not in own_origins("0.0.0.0", 4200)  # noqa: S104 - not bound
