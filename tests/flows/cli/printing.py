"""Print a table on a console of a given width."""

from io import StringIO

from rich.console import Console, RenderableType


def console_of(width: int) -> Console:
    """A console that stores its output."""
    return Console(file=StringIO(), width=width, markup=False)


def printed(console: Console, table: RenderableType) -> str:
    """All output of the console after this is printed."""
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
