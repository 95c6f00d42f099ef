"""How the command was called, for lines that people copy: an environment's programs may not be on the path."""

import os
import shutil
import sys
from pathlib import Path

from flows.console.options import COMMAND


def command_as_typed() -> str:
    """The command as it can be typed again in the same shell."""
    called = Path(sys.argv[0])
    if called.name == COMMAND:
        return as_typed(COMMAND, called.absolute())
    return f"{as_typed('python', Path(sys.executable))} -m flows"


def as_typed(name: str, program: Path) -> str:
    """The name alone if the shell finds the program by it, otherwise its path."""
    return name if shutil.which(name) == str(program) else from_here(program)


def from_here(path: Path) -> str:
    """Relative to the working directory if it is below it, unless that is the root."""
    here = Path.cwd()
    return os.path.relpath(path) if path.is_relative_to(here) and here != here.parent else str(path)
