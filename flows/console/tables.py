"""Tables that fold with the width: the same facts in a line, or in stacks below each other, never cut where it matters.

A form says which facts stand where. The first form that has room for everything is taken; what may be cut then shares
what is left. Left to Rich, a table that is too wide would lose a piece of every column.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

GAP = 2  # blanks between two columns


class Fact(NamedTuple):
    """One thing that a table says about each of its rows."""

    title: str
    says: Callable[[Any], Text]
    right: bool = False
    """whether it is a number"""
    least: int | None = None
    """columns that it may be cut to, or more where even the last form is too wide; None: it is never cut"""


Form = Sequence[tuple[Fact, ...]]
"""Its columns; the facts of a column stand below each other."""


class _Column(NamedTuple):
    right: bool
    title: Text
    cells: list[Text]
    wanted: int
    least: int
    """below what any of its facts may be cut to, another form is tried"""
    whole: int
    """what its title and the facts that are never cut take"""


def folded(rows: Sequence[Any], forms: Sequence[Form], width: int) -> Table:
    """The rows in the first of these forms that fits; where none does, in the last, cut where it may be."""
    for form in forms:
        columns = _columns(rows, form)
        left = width - GAP * (len(columns) - 1) - sum(column.least for column in columns)
        if left >= 0:
            break
    table = plain_table(expand=False)
    table.pad_edge = False
    for column, wide in zip(columns, _shared(columns, left), strict=True):
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.title, width=wide, justify=justify, overflow="ellipsis", no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _shared(columns: list[_Column], left: int) -> list[int]:
    """The columns' widths: what is left goes to the narrowest that wants more, what is missing comes off the widest."""
    widths = [column.least for column in columns]
    if left >= 0:
        _step(widths, [column.wanted for column in columns], left, 1)
    else:
        missing = _step(widths, [column.whole for column in columns], -left, -1)
        _step(widths, [1 for _ in columns], missing, -1)
    return widths


def _step(widths: list[int], ends: list[int], steps: int, by: int) -> int:
    """Move the widths to their ends, the one that is furthest behind first; answers how many steps remain."""
    while steps and (moving := [place for place, end in enumerate(ends) if (end - widths[place]) * by > 0]):
        widths[min(moving, key=lambda place: widths[place] * by)] += by
        steps -= 1
    return steps


def _columns(rows: Sequence[Any], form: Form) -> list[_Column]:
    stacks = [facts for facts in form if facts]
    titles = zip_longest(*("\n".join(fact.title for fact in facts if fact.title).split("\n") for facts in stacks))
    whole = ["\n".join(line or "" for line in lines) for lines in zip(*titles, strict=True)]
    return [_column(rows, facts, Text(title)) for facts, title in zip(stacks, whole, strict=True)]


def _column(rows: Sequence[Any], facts: tuple[Fact, ...], title: Text) -> _Column:
    said = [[fact.says(row) for row in rows] for fact in facts]
    cells = [Text("\n").join(lines) for lines in zip(*said, strict=True)]
    for cell in cells:
        cell.rstrip()  # a last fact that says nothing takes no line
    wanted = _width([title, *cells])
    uncut = zip(facts, said, strict=True)
    whole = _width([title, *(text for fact, texts in uncut if fact.least is None for text in texts)])
    least = min(wanted, max([whole, *(fact.least for fact in facts if fact.least is not None)]))
    return _Column(facts[0].right, title, cells, wanted, least, whole)


def _width(texts: list[Text]) -> int:
    return max(line.cell_len for text in texts for line in text.split("\n", allow_blank=True))


def broken(fact: Fact, width: int) -> Fact:
    """The same in as many lines as it takes, broken between words, and so its title."""
    title = "\n".join(line.plain for line in _lines(Text(fact.title), width))
    return fact._replace(title=title, says=lambda row: Text("\n").join(_lines(fact.says(row), width)))


def _lines(text: Text, width: int) -> Iterator[Text]:
    for whole in text.split("\n"):
        line, *more = whole.split(" ")
        for word in more:
            longer = Text(" ").join([line, word])
            if longer.cell_len > width:
                yield line
                line = word
            else:
                line = longer
        yield line


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
