"""The login of a home's Prefect server: one line, `user:password`, in a file that only its owner can read."""

import os
import re
import secrets
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from flows.console.invocation import shell_command
from flows.console.terminal import print_message
from tasks.errors import OperatorError
from tasks.settings import DEFAULTS

SERVER, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
PATTERN = re.compile(r"[^\s:]+:\S+")
GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Login(NamedTuple):
    """The login line, and whether this call created it."""

    line: str
    created: bool


def generate_login() -> str:
    """A random login. That of a temporary server is never written to a file."""
    return f"admin:{secrets.token_urlsafe(32)}"


def login_file(home: Path) -> Path:
    return home / "prefect-login"


def export_command(home: Path) -> str:
    """The shell command that passes this home's login to programs without showing it in the process list."""
    where = "" if home == DEFAULTS else f" --home {shlex.quote(str(home))}"
    return f'export {CLIENT}="$({shell_command()} server-login --show{where})"'


def get_or_create(home: Path) -> Login:
    """The login of this home, created if there is none. Raises OperatorError if its file cannot be trusted."""
    if line := read(home):
        return Login(line, created=False)
    home.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary, line = _write_temporary(home)
    try:
        os.link(temporary, login_file(home))
    except FileExistsError:  # another process was first
        return Login(read(home) or line, created=False)
    finally:
        temporary.unlink()
    return Login(line, created=True)


def read(home: Path) -> str | None:
    """The login of this home, if it has one. Raises OperatorError if its file cannot be trusted.

    A login that others could have read is replaced.
    """
    file = login_file(home)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as refused:
        raise OperatorError(
            f"{file} cannot be read ({refused.strerror}). Run the command as the owner of the file, or remove a link."
        ) from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise OperatorError(
                f"{file} does not belong to this user, so others may know the login. "
                "Run the command as the owner of the file, or remove it."
            )
        line = opened.read(4096).strip()
    if status.st_mode & GROUP_AND_OTHERS:
        print_message(
            f"Other users could read {file}, so the login was replaced. Restart `serve` if it is running.",
            style="yellow",
        )
        return rotate(home)
    if not PATTERN.fullmatch(line):
        raise OperatorError(f"{file} does not contain a login. Create one: attachment-alerts server-login --rotate")
    return line


def rotate(home: Path) -> str:
    """Replace the login file of this home atomically, whatever it is."""
    home.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary, line = _write_temporary(home)
    temporary.replace(login_file(home))
    return line


def _write_temporary(home: Path) -> tuple[Path, str]:
    """Write a new login to a temporary file that only its owner can read."""
    temporary, line = home / f".prefect-login.{secrets.token_hex(8)}", generate_login()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask is
        if os.fstat(descriptor).st_mode & GROUP_AND_OTHERS:
            temporary.unlink()
            raise OperatorError(
                f"The file system of {home} does not support file permissions. Choose a home on another one."
            )
        file.write(f"{line}\n")
        file.flush()
        os.fsync(descriptor)
    return temporary, line
