"""Questions on a real terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

from tasks.settings import CHECKOUT

PATIENCE = 20.0
ASKS = """
import polars  # its handler of signals lets an interrupted read go on
from flows.terminal import entered
for hidden in (False, True):
    try:
        print(f"typed {entered('Word: ', hidden=hidden)!r}")
    except KeyboardInterrupt:
        print("stopped")
"""


def until(terminal: int, word: str) -> str:
    """What comes until that word does; all of it, where the word never comes."""
    said = ""
    while word not in said and select.select([terminal], [], [], PATIENCE)[0]:
        said += os.read(terminal, 1000).decode()
    return said


def test_ctrl_c_ends_a_question() -> None:
    ours, theirs = pty.openpty()
    call = [sys.executable, "-c", ASKS]
    with subprocess.Popen(call, cwd=CHECKOUT, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        try:
            for _ in ("shown", "hidden"):
                assert "Word: " in until(ours, "Word: ")
                time.sleep(0.1)  # it has asked, and now it reads
                child.send_signal(signal.SIGINT)
                assert "stopped" in until(ours, "stopped")
        finally:
            child.kill()
            os.close(theirs)
            os.close(ours)
