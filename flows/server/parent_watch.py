"""Run a command for as long as its parent process lives, which holds the other end of stdin.

A parent that is killed cannot end its children. An orphaned server would keep the port and the database, and an
orphaned worker would run beside the next one. This is started as a script, so it loads nothing of the project.
"""

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE = 10.0  # seconds


def main(command: list[str]) -> int:
    """Run the command; returns its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - from our own parent process

    def stop(number: int, frame: FrameType | None) -> None:
        child.terminate()

    def stop_with_parent() -> None:
        os.read(0, 1)  # returns when the parent ends; the lock of sys.stdin would still be held at our own end
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
