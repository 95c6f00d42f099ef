"""Database files on disk: their group, and atomic replacement."""

import os
import shutil
from pathlib import Path

from tasks.errors import SettingsError


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
