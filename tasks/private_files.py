"""Files and folders that only their owner may read."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO


def keep_files_private() -> None:
    """Let only the owner read what this process and its children create from now on.

    Databases, their logs and spilled pages hold mail metadata, and DuckDB and SQLite take no mode for their files.
    It is never undone, because another thread may be creating a file at any moment.
    """
    os.umask(0o077)


def open_private(path: Path, mode: str) -> IO[bytes]:
    """Open a file that only the owner may read, whatever the umask and the mode of an existing file."""
    file: IO[bytes] = open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    os.fchmod(file.fileno(), 0o600)
    return file


def restrict_to_owner(folder: Path) -> None:
    """Restrict a folder and the files in it to the owner, as an earlier version may not have done."""
    if not folder.is_dir():
        return
    for path in (folder.resolve(), *folder.glob("*")):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            with suppress(PermissionError):  # it belongs to another user, who decides
                path.chmod(stat.S_IMODE(status.st_mode) & 0o700)
