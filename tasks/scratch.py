"""Scratch folders for files between stages: each belongs to one run and is deleted with it."""

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
    """A new folder, deleted at the end. Folders of killed runs are deleted as well."""
    root = home / "scratch"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(root / "lock", mode=0o600):
        for found in root.glob("pull-*"):
            # A lock ends with its process, so a folder whose lock is free belongs to a dead run.
            with suppress(Timeout), FileLock(found / IN_USE, timeout=0, mode=0o600):
                shutil.rmtree(found, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="pull-", dir=root))
        in_use = FileLock(folder / IN_USE, mode=0o600, thread_local=False)
        in_use.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        in_use.release()


class FrameCache:
    """Frames in files of a scratch folder, by name, because those of a large directory do not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, frame: pl.DataFrame) -> None:
        frame.write_ipc(self._folder / name, compression="uncompressed")

    def get(self, name: str, *columns: str) -> pl.DataFrame:
        """All columns, or these."""
        return pl.read_ipc(self._folder / name, columns=list(columns) or None)
