"""Database files on disk: permissions and atomic replacement."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from tasks.errors import SettingsError


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


def give_to_group(path: Path, group: str) -> None:
    """Give a file to a system group. Raises SettingsError."""
    try:
        shutil.chown(path, group=group)
    except (LookupError, PermissionError) as cause:
        raise SettingsError(
            f"{path.name} cannot be given to the group {group!r} ({cause}). "
            "Set ATTACHMENT_ALERTS_READERS_GROUP to an existing group that this user belongs to."
        ) from cause


def log_of(path: Path) -> Path:
    """The write-ahead log beside a database file."""
    return path.with_name(path.name + ".wal")


def replace_database(fresh: Path, target: Path) -> None:
    """Replace a file atomically by a complete, closed one, and remove the old file's log."""
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    log_of(target).unlink(missing_ok=True)
    fresh.replace(target)
