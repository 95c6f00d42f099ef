"""What a table looks like on a console of some width."""

from io import StringIO

from rich.console import Console, RenderableType


def console_of(width: int) -> Console:
    """A console that keeps what is printed on it."""
    return Console(file=StringIO(), width=width, markup=False)


def printed(console: Console, table: RenderableType) -> str:
    """What such a console shows once this is printed on it, too."""
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
