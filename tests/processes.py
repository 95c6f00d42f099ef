"""Python processes of their own, for what one process cannot show."""

import subprocess
import sys
import textwrap
from typing import Any

from tasks.settings import CHECKOUT


def process(script: str, **options: Any) -> "subprocess.Popen[str]":
    """Python of its own, that says a line when it is where the test wants it."""
    call = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, **options)


def line(running: "subprocess.Popen[str]") -> str:
    """The next line that it says; empty when it has ended."""
    assert running.stdout is not None
    return running.stdout.readline().strip()
