"""How tables and pages are drawn."""

from rich import box
from rich.table import Table
from rich.text import Text

INDENT = " "  # under a heading; beside a kind of indicator a SHA-256 just fits into 80 columns


def plain_table(*, expand: bool = True) -> Table:
    """A table as this project draws them: a line under the header, two blanks between columns."""
    return Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False, expand=expand)


def facts(rows: list[tuple[str, Text]]) -> Table:
    """Names on the left, values on the right."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"{INDENT}{name}", value)
    return grid


def heading(text: str, note: str = "") -> Text:
    """A line above a part of a page."""
    return Text.assemble("\n", (text, "bold"), (f"  {note}" if note else "", "dim"))
