"""The login of a site's own Prefect server: one line, `user:password`, in a file that only its owner can read."""

import os
import re
import secrets
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from flows.console.invocation import command_as_typed
from flows.console.terminal import say
from tasks.errors import OperatorError
from tasks.settings import DEFAULTS

SERVER, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
PATTERN = re.compile(r"[^\s:]+:\S+")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Login(NamedTuple):
    """What a server asks for, and whether it was made just now."""

    line: str
    made: bool


def new_line() -> str:
    """A login that nobody knows; for a server that ends with its command it is never written down."""
    return f"admin:{secrets.token_urlsafe(32)}"


def login_file(home: Path) -> Path:
    return home / "prefect-login"


def export_command(home: Path) -> str:
    """The line by which a shell gives this home's login to what it starts; no process list shows it."""
    where = "" if home == DEFAULTS else f" --home {shlex.quote(str(home))}"
    return f'export {CLIENT}="$({command_as_typed()} server-login --show{where})"'


def get_or_create(home: Path) -> Login:
    """The login of this home, made where there is none. Raises OperatorError where its file cannot be trusted."""
    if line := read(home):
        return Login(line, made=False)
    home.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary, line = _write_temporary(home)
    try:
        os.link(temporary, login_file(home))
    except FileExistsError:  # somebody else's first start came between
        return Login(read(home) or line, made=False)
    finally:
        temporary.unlink()
    return Login(line, made=True)


def read(home: Path) -> str | None:
    """The login of this home, if it has one. Raises OperatorError where its file cannot be trusted.

    One that others could have read is replaced, since they may have.
    """
    file = login_file(home)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as refused:
        raise OperatorError(
            f"{file} cannot be read ({refused.strerror}). Run this as the user it belongs to; a link must be removed."
        ) from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise OperatorError(
                f"{file} is no file of this user's, so whoever put it there knows what is in it. "
                "Run this as the user it belongs to, or remove it."
            )
        line = opened.read(4096).strip()
    if status.st_mode & OTHERS:
        say(f"Others could read {file}. It has a new login now; restart a `serve` that is running.", style="yellow")
        return rotate(home)
    if not PATTERN.fullmatch(line):
        raise OperatorError(f"{file} holds no login. Make a new one: attachment-alerts server-login --rotate")
    return line


def rotate(home: Path) -> str:
    """Replace the login of this home at once, whatever is in its place."""
    home.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary, line = _write_temporary(home)
    temporary.replace(login_file(home))
    return line


def _write_temporary(home: Path) -> tuple[Path, str]:
    """A new login in a file beside its place, complete and readable by its owner only."""
    temporary, line = home / f".prefect-login.{secrets.token_hex(8)}", new_line()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask is
        if os.fstat(descriptor).st_mode & OTHERS:
            temporary.unlink()
            raise OperatorError(f"The disk of {home} does not keep who may read a file. Choose a home on another.")
        file.write(f"{line}\n")
        file.flush()
        os.fsync(descriptor)
    return temporary, line
