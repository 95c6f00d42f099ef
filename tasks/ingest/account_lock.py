"""Whose turn it is to ask one account: requests of a connector are serialised, and a backfill gives way to a poll.

Two file locks, gone with their process: whoever wants the account first takes `next`, waits for `now`, and gives
`next` back. A holder who finds `next` taken between two slices knows that somebody waits.
"""

import logging
import threading
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout

from tasks.errors import AlertsError, Stopped

log = logging.getLogger("attachment_alerts.turn")

STEP = 1.0  # seconds between two looks at the stop signal


class TurnTaken(AlertsError):
    """Another run is asking this account."""


class Turn:
    """The right to ask one account, across processes of this machine."""

    def __init__(self, home: Path, connector_id: UUID, stop: threading.Event) -> None:
        folder = home / "locks"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next = FileLock(folder / f"{connector_id}.next", mode=0o600, thread_local=False)
        self._now = FileLock(folder / f"{connector_id}.now", mode=0o600, thread_local=False)
        self._stop = stop

    def take(self, patience: float | None) -> None:
        """Wait for the account, at most `patience` seconds (None: as long as it takes). Raises TurnTaken, Stopped."""
        waited = 0.0
        try:
            for lock in (self._next, self._now):
                while True:
                    try:
                        lock.acquire(timeout=STEP)
                        break
                    except Timeout:
                        waited += STEP
                        self._refuse_if(waited, patience)
        finally:  # also when a signal ends the wait: nobody could take `now` while `next` is taken
            self._next.release(force=True)

    def _refuse_if(self, waited: float, patience: float | None) -> None:
        if self._stop.is_set():
            raise Stopped("Stopped while another run was asking this account.")
        if waited == STEP:
            log.info("another run is asking this account; waiting for it")
        if patience is not None and waited >= patience:
            raise TurnTaken(
                f"Another run has been asking this account for more than {patience:.0f} s; this one was skipped. "
                "The next poll fetches the same time."
            )

    def wanted(self) -> bool:
        """Whether another run waits for this account."""
        try:
            self._next.acquire(timeout=0)
        except Timeout:
            return True
        self._next.release()
        return False

    def give_way(self) -> None:
        """Let whoever waits go first, then take the account back."""
        self._now.release()
        self.take(patience=None)

    def release(self) -> None:
        """Give the account back; harmless when it is not held."""
        self._now.release(force=True)
