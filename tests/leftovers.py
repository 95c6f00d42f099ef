"""Ends the processes that a test run has started, even if the run itself is killed.

The run puts an id of its own into the environment, which all its processes inherit. A process beside it waits until
the run is over and then kills those that still have this id. Started as a script.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import psutil

RUN_ID = "ATTACHMENT_ALERTS_TEST_RUN"


def watch() -> Callable[[], None]:
    """Watch this process; the result kills what is left of it at once."""
    os.environ[RUN_ID] = run_id = str(uuid4())
    watcher = subprocess.Popen(
        [sys.executable, __file__, run_id],
        env={name: value for name, value in os.environ.items() if name != RUN_ID},
        stdin=subprocess.PIPE,
        start_new_session=True,  # neither Ctrl-C nor a kill of the run's process group reaches it
    )

    def end() -> None:
        watcher.communicate()

    return end


def processes(run_id: str) -> list[psutil.Process]:
    """Those of this user that a run has started and that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(RUN_ID) == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def main(run_id: str) -> None:
    sys.stdin.read()  # ends with the run, which holds the other end
    while left := processes(run_id):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)


if __name__ == "__main__":
    main(sys.argv[1])
