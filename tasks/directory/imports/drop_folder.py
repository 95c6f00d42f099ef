"""The watched folder: exports that somebody drops there are imported by the next scheduled run.

What was read moves to `done/` or `refused/` beside it and is removed after some days, for it holds personal data.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.directory.formats.archive import DONE, REFUSED
from tasks.errors import StoreError
from tasks.sanitize import plain
from tasks.settings import Settings


def ensure_drop_folder(settings: Settings) -> Path:
    """The site's drop folder, made where it is missing: only its owner may read it. Raises StoreError."""
    folder = settings.home / "drop"
    with _as_store_error():
        for entry in (folder, folder / DONE, folder / REFUSED):
            entry.mkdir(parents=True, exist_ok=True, mode=0o700)
            if entry != folder and entry.is_symlink():
                raise StoreError(f"{entry} is a link: what was imported would be moved elsewhere. Remove the link.")
    return folder


def list_waiting(folder: Path) -> list[Path]:
    """What waits for an import, oldest name first; hidden names are still being written.

    Links and special files are among it: reading refuses them, with the reason.
    """
    return sorted(
        entry for entry in folder.iterdir() if entry.name not in (DONE, REFUSED) and not entry.name.startswith(".")
    )


def move_away(path: Path, folder: Path, *, refused: bool, now: datetime) -> Path:
    """Move what was read out of the way; its name begins with the time, so that the same name may come again.

    Raises StoreError; the next run reads again what could not be moved, and it changes nothing.
    """
    target = folder / (REFUSED if refused else DONE) / f"{now:%Y%m%dT%H%M%S%f}-{path.name}"
    with _as_store_error():
        return Path(shutil.move(path, target))


def delete_expired(folder: Path, settings: Settings, now: datetime) -> int:
    """Remove what was put away longer ago than the site keeps it; how many files and folders. Raises StoreError."""
    limit = now - timedelta(days=settings.drop_keep_days)
    with _as_store_error():
        expired = [entry for kind in (DONE, REFUSED) for entry in (folder / kind).iterdir() if _moved_at(entry) < limit]
        for entry in expired:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    return len(expired)


@contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The drop folder cannot be used: {plain(str(error), 500)}. Check the disk and the rights of the home."
        ) from error


def _moved_at(path: Path) -> datetime:
    """By the name, for copying tools change times of files; what is named otherwise was not put away by us."""
    try:
        return datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
