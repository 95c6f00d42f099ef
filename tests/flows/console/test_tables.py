"""What a table gives up first where it is too wide; the rows are the facts' own words."""

import pytest
from rich.text import Text

from flows.console.tables import Fact, broken, folded
from tests.flows.cli.printing import console_of, printed

WORDS = ("a-count", "short", "somebody.with.a.long.name", "a line that is longer than any other")
WHOLE, SMALL, NAME, LINE = (
    Fact(title, lambda row, place=place: Text(row[place]), least=least)
    for place, (title, least) in enumerate([("Whole", None), ("Small", 2), ("Name", 8), ("Line", 12)])
)


def shown(width: int, *forms: list[tuple[Fact, ...]]) -> list[str]:
    text = printed(console_of(width), folded([WORDS], forms, width))
    return [line.rstrip() for line in text.splitlines() if "─" not in line]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (72, "a-count  somebody.with.a.long.name  a line that is longer than any other"),
        (40, "a-count  somebody.with.…  a line that i…"),  # what is left is shared
        (31, "a-count  somebod…  a line that…"),
        (29, "a-count  somebod…  a line th…"),  # less than the least: the widest first
        (19, "a-count  som…  a l…"),
        (15, "a-…  som…  a l…"),  # not even the headings have room
    ],
)
def test_what_is_never_cut_is_cut_last(width: int, line: str) -> None:
    assert shown(width, [(WHOLE,), (NAME,), (LINE,)])[-1] == line


def test_the_first_form_that_fits_is_taken() -> None:
    forms = [(WHOLE,), (NAME,), (LINE,)], [(WHOLE, NAME), (LINE,)]
    assert len(shown(31, *forms)) == 2
    assert len(shown(30, *forms)) == 4


def test_a_small_fact_cuts_none_that_stands_in_its_column() -> None:
    assert shown(17, [(NAME,), (SMALL, WHOLE)])[2:] == ["somebod…  short", "          a-count"]


def test_a_last_fact_without_words_takes_no_line() -> None:
    silent = Fact("", lambda _: Text(), least=8)
    assert shown(80, [(WHOLE, silent)]) == ["Whole", "a-count"]


def test_a_long_title_is_broken_with_its_fact() -> None:
    assert shown(80, [(broken(LINE._replace(title="Long title"), 8),)])[:2] == ["Long", "title"]
