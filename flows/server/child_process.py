"""Python programs that a command starts: each has its own log file and ends with the command."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from flows.server import parent_watch
from tasks.private_files import open_private

OLD_LOGS = 5
CONSOLE_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
LOG_OUTPUT = {
    CONSOLE_LEVEL: "NOTSET",
    "PYTHONIOENCODING": "utf-8:backslashreplace",  # whatever the locale is; the processes of runs inherit it
}


class ChildProcess:
    """Python with these arguments, which writes to `<name>.log` in the given folder."""

    def __init__(self, name: str, arguments: list[str], log_folder: Path, environment: dict[str, str]) -> None:
        self.name, self.log = name, log_folder / f"{name.replace(' ', '-')}.log"
        _rotate(self.log)
        # The watch ends the program even if this process is killed.
        call = [sys.executable, "-E", "-S", parent_watch.__file__, sys.executable, *arguments]
        with open_private(self.log, "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                call,
                env=os.environ | LOG_OUTPUT | environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops its children
            )

    @property
    def pid(self) -> int:
        """The ancestor of everything the program starts."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it is running."""
        return self._process.poll()

    def stop(self, timeout: float) -> None:
        """Terminate it; kill what is still running after `timeout` seconds."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def _rotate(log: Path) -> None:
    """Keep the logs of earlier starts as `.1` (the latest) to `.5`."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    handler = RotatingFileHandler(log, backupCount=OLD_LOGS, delay=True)
    handler.doRollover()
    handler.close()
