"""Folders for the files that stages hand on: each of one run alone, and gone with it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

IN_USE = "in-use"


@contextmanager
def scratch_folder(home: Path) -> Iterator[Path]:
    """A fresh folder, removed at the end. What runs that were killed have left behind is removed, too."""
    root = home / "scratch"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(root / "lock", mode=0o600):
        for left in root.glob("pull-*"):
            # A lock is gone with its process: whoever can take it looks at a dead run's folder.
            with suppress(Timeout), FileLock(left / IN_USE, timeout=0, mode=0o600):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="pull-", dir=root))
        alive = FileLock(folder / IN_USE, mode=0o600, thread_local=False)
        alive.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        alive.release()


class FrameCache:
    """Frames in files of a scratch folder, by name: those of a large directory would fill the memory together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, frame: pl.DataFrame) -> None:
        frame.write_ipc(self._folder / name, compression="uncompressed")

    def get(self, name: str, *columns: str) -> pl.DataFrame:
        """All of it, or these columns alone."""
        return pl.read_ipc(self._folder / name, columns=list(columns) or None)
