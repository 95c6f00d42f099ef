"""Tables that fold with the width: the same facts in a line, or in stacks below each other, never cut where it matters.

A form says which facts stand where. The first form that has room for everything is taken; what may be cut then shares
what is left. Left to Rich, a table that is too wide would lose a piece of every column.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from flows.layout import plain_table

GAP = 2  # blanks between two columns


class Fact(NamedTuple):
    """One thing that a table says about each of its rows."""

    title: str
    says: Callable[[Any], Text]
    right: bool = False
    """whether it is a number"""
    least: int | None = None
    """columns that it may be cut to; None: it is never cut"""


Form = Sequence[tuple[Fact, ...]]
"""Its columns; the facts of a column stand below each other."""


class _Column(NamedTuple):
    facts: tuple[Fact, ...]
    title: Text
    cells: list[Text]

    @property
    def wanted(self) -> int:
        return max(line.cell_len for cell in (self.title, *self.cells) for line in cell.split("\n", allow_blank=True))

    @property
    def least(self) -> int:
        cut = [fact.least for fact in self.facts if fact.least is not None]
        return min([self.wanted, *cut])


def folded(rows: Sequence[Any], forms: Sequence[Form], width: int) -> Table:
    """The rows in the first of these forms that fits; where none does, in the last."""
    for form in forms:
        columns = _columns(rows, form)
        left = width - GAP * (len(columns) - 1) - sum(column.least for column in columns)
        if left >= 0:
            break
    table = plain_table(expand=False)
    table.pad_edge = False
    for column in columns:
        more = max(0, min(column.wanted - column.least, left))
        left -= more
        table.add_column(
            column.title,
            width=column.least + more,
            justify="right" if column.facts[0].right else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _columns(rows: Sequence[Any], form: Form) -> list[_Column]:
    stacks = [facts for facts in form if facts]
    titles = zip_longest(*("\n".join(fact.title for fact in facts).split("\n") for facts in stacks), fillvalue="")
    whole = ["\n".join(lines) for lines in zip(*titles, strict=True)]  # all of one height: Rich would let them sink
    return [
        _Column(facts, Text(title), [Text("\n").join([fact.says(row) for fact in facts]) for row in rows])
        for facts, title in zip(stacks, whole, strict=True)
    ]


def broken(fact: Fact, width: int) -> Fact:
    """The same in as many lines as it takes, broken between words."""
    return fact._replace(says=lambda row: Text("\n").join(_lines(fact.says(row), width)))


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
