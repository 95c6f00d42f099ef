"""The lock of one account in two files: requests of a connector are serialised, and a backfill gives way to a poll.

The system releases file locks when their process ends. A run that wants the account first locks `next`, waits for
`now`, and releases `next`. A holder that finds `next` locked between two slices knows that another run waits.
"""

import logging
import threading
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout

from tasks.errors import Stopped
from tasks.store.store import AccountBusy

log = logging.getLogger("attachment_alerts.turn")

STEP = 1.0  # seconds between two looks at the stop signal


class FileAccountLock:
    """An `AccountLock` across the processes of this machine."""

    def __init__(self, folder: Path, connector_id: UUID, stop: threading.Event) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next = FileLock(folder / f"{connector_id}.next", mode=0o600, thread_local=False)
        self._now = FileLock(folder / f"{connector_id}.now", mode=0o600, thread_local=False)
        self._stop = stop

    def acquire(self, patience: float | None) -> None:
        waited = 0.0
        try:
            for lock in (self._next, self._now):
                while True:
                    try:
                        lock.acquire(timeout=STEP)
                        break
                    except Timeout:
                        waited += STEP
                        self._check_wait(waited, patience)
        finally:  # also when a signal ends the wait: no other run could lock `now` while `next` is locked
            self._next.release(force=True)

    def _check_wait(self, waited: float, patience: float | None) -> None:
        if self._stop.is_set():
            raise Stopped("Stopped while waiting for another run of this account.")
        if waited == STEP:
            log.info("another run is using this account; waiting for it")
        if patience is not None and waited >= patience:
            raise AccountBusy(
                f"Another run has been using this account for more than {patience:.0f} s, so this one was skipped. "
                "The next poll fetches the same time."
            )

    def is_wanted(self) -> bool:
        try:
            self._next.acquire(timeout=0)
        except Timeout:
            return True
        self._next.release()
        return False

    def give_way(self) -> None:
        self._now.release()
        self.acquire(patience=None)

    def release(self) -> None:
        self._now.release(force=True)
