"""Processes that belong to a command: gone when it ends, however it ends, and started again when they end before."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from flows.server import parent_watch
from tasks.store.files import open_private

SHORTEST, LONGEST = 1.0, 60.0  # seconds between two starts
HEALTHY = 120.0  # seconds after which an end is not the same trouble again


class Child:
    """One program of Prefect, with a log file of its own."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.name, self.log = name, folder / f"{name.replace(' ', '-')}.log"
        self._call = [sys.executable, "-E", "-S", parent_watch.__file__, sys.executable, "-m", "prefect", *arguments]
        self._environment = environment
        self._wait = SHORTEST
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = self._starts_at = 0.0

    def start(self, *, again: bool = False) -> None:
        """Start it in a session of its own: Ctrl-C is for us, who stop it in good order.

        `again`: after what it wrote before it ended, which is where the reason stands.
        """
        with open_private(self.log, "ab" if again else "wb") as lines:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, nothing typed by anybody
                self._call,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=lines,
                stderr=lines,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process that all of its processes come from."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def revive(self) -> str | None:
        """Start it again where it has ended, waiting longer each time; a line to say when that is first seen."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._starts_at:
                self.start(again=True)
            return None
        if self.alive:
            return None
        self._wait = SHORTEST if now - self._started_at > HEALTHY else min(2 * self._wait, LONGEST)
        self._starts_at = now + self._wait
        status = self._process.returncode
        _close(self._process)
        self._process = None
        return f"The {self.name} has ended (status {status}; {self.log} may say why). It starts again."

    def stop(self, patience: float) -> None:
        """Ask it to end; kill what is left of it then."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
