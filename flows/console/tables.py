"""Tables and lists as this project prints them; Rich decides the widths.

A table has two column sets: one for terminals of 100 columns or more, and one for narrower terminals, which leaves
columns out or stacks facts in one column.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

WIDE = 100
SHORT_ID = 8  # characters of an ID that a table shows
INDENT = " "  # under a heading; beside a kind of indicator a SHA-256 just fits into 80 columns


class Fact(NamedTuple):
    """One value that a table shows for each row."""

    title: str
    cell: Callable[[Any], Text]
    right: bool = False
    """whether it is a number"""
    wraps: bool = False
    """whether it may be broken into lines if the table is too wide"""


ColumnSet = Sequence[tuple[Fact, ...]]
"""The facts of one column are stacked; a column without facts is left out."""


def responsive_table(rows: Sequence[Any], wide: ColumnSet, narrow: ColumnSet, width: int) -> Table:
    """One line for each row, or more if a column has more than one fact."""
    columns = [column for column in (wide if width >= WIDE else narrow) if column]
    table = plain_table(expand=False)
    table.pad_edge = False
    for column in columns:
        table.add_column(
            "\n".join(fact.title for fact in column if fact.title),
            justify="right" if column[0].right else "left",
            overflow="fold",
            no_wrap=not any(fact.wraps for fact in column),
        )
    for row in rows:
        table.add_row(*(_stack([fact.cell(row) for fact in column]) for column in columns))
    return table


def _stack(cells: list[Text]) -> Text:
    text = Text("\n").join(cells)
    text.rstrip()  # an empty last cell needs no line
    return text


def plain_table(*, expand: bool = True) -> Table:
    """A table with a line under the header and two blanks between columns."""
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
    """A line above a section of a page."""
    return Text.assemble("\n", (text, "bold"), (f"  {note}" if note else "", "dim"))
