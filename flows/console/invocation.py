"""How the command was called, for lines that people copy: its environment may not be on the path."""

import os
import shutil
import sys
from pathlib import Path

from flows.console.options import COMMAND


def shell_command() -> str:
    """This command, as it can be typed in the same shell."""
    called = Path(sys.argv[0])
    if called.name == COMMAND:
        return shell_program(COMMAND, called.absolute())
    return f"{shell_program('python', Path(sys.executable))} -m flows"


def shell_program(name: str, program: Path) -> str:
    """The name if the shell finds the program by it, otherwise its path."""
    return name if shutil.which(name) == str(program) else relative_to_cwd(program)


def relative_to_cwd(path: Path) -> str:
    """Relative to the working directory if the path is below it, unless that is the root."""
    here = Path.cwd()
    return os.path.relpath(path) if path.is_relative_to(here) and here != here.parent else str(path)
