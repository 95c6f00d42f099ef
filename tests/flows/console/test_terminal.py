"""Prompts on a real terminal."""

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
import polars  # its signal handler restarts an interrupted read
from flows.console.terminal import read_line
for hidden in (False, True):
    try:
        print(f"typed {read_line('Word: ', hidden=hidden)!r}")
    except KeyboardInterrupt:
        print("stopped")
"""


def until(terminal: int, said: str, word: str, times: int) -> str:
    """The output so far, extended until it contains the word `times` times."""
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
                time.sleep(0.1)  # the prompt is printed; now it reads
                child.send_signal(signal.SIGINT)
                said = until(ours, said, "stopped", question)
        finally:
            child.kill()
            os.close(theirs)
            os.close(ours)
