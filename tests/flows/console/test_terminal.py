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
from flows.console.terminal import read_line
for hidden in (False, True):
    try:
        print(f"typed {read_line('Word: ', hidden=hidden)!r}")
    except KeyboardInterrupt:
        print("stopped")
"""


def until(terminal: int, said: str, word: str, times: int) -> str:
    """What was said, with what comes until that word was said so many times; where it never is, with all of it."""
    while said.count(word) < times and select.select([terminal], [], [], PATIENCE)[0]:
        said += os.read(terminal, 1000).decode()
    assert said.count(word) >= times
    return said


def test_ctrl_c_interrupts_a_prompt() -> None:
    ours, theirs = pty.openpty()
    call = [sys.executable, "-c", ASKS]
    with subprocess.Popen(call, cwd=CHECKOUT, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        try:
            said = ""
            for question in (1, 2):  # shown, hidden
                said = until(ours, said, "Word: ", question)
                time.sleep(0.1)  # it has asked, and now it reads
                child.send_signal(signal.SIGINT)
                said = until(ours, said, "stopped", question)
        finally:
            child.kill()
            os.close(theirs)
            os.close(ours)
