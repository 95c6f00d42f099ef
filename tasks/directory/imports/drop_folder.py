"""The drop folder: files in it are imported by the next scheduled run.

Processed files move to its `done/` or `refused/` and are deleted after some days, because they contain personal data.
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
    """The site's drop folder, created if missing, readable by its owner only. Raises StoreError."""
    folder = settings.home / "drop"
    with _as_store_error():
        for entry in (folder, folder / DONE, folder / REFUSED):
            entry.mkdir(parents=True, exist_ok=True, mode=0o700)
            if entry != folder and entry.is_symlink():
                raise StoreError(f"{entry} is a link, so imported files would be moved elsewhere. Remove the link.")
    return folder


def list_waiting(folder: Path) -> list[Path]:
    """Files and folders to import, sorted by name, without hidden ones, which are still being written.

    Links and special files are included: they are refused on reading, with the reason.
    """
    return sorted(
        entry for entry in folder.iterdir() if entry.name not in (DONE, REFUSED) and not entry.name.startswith(".")
    )


def move_away(path: Path, folder: Path, *, refused: bool, now: datetime) -> Path:
    """Prefix the name with the time, so that it can be used again.

    Raises StoreError; the next run reads a file that could not be moved again, which changes nothing.
    """
    target = folder / (REFUSED if refused else DONE) / f"{now:%Y%m%dT%H%M%S%f}-{path.name}"
    with _as_store_error():
        return Path(shutil.move(path, target))


def delete_expired(folder: Path, settings: Settings, now: datetime) -> int:
    """Returns the number of files and folders deleted. Raises StoreError."""
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
            f"Drop folder unusable: {plain(str(error), 500)}. Check the disk and the permissions of the home."
        ) from error


def _moved_at(path: Path) -> datetime:
    """From the name, because copying changes a file's times; other names were not moved by us."""
    try:
        return datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
