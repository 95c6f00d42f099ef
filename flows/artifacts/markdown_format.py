"""Markdown for the Prefect UI in which text from outside stays text.

Such text is put into a code span. Escaping single characters is not enough: the UI decodes escapes first and then makes
links of what looks like an address.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from tasks.sanitize import plain

DASH = "-"
MAX_CELL = 80  # characters
ENDS_SPAN_OR_CELL = str.maketrans({"`": r"\x60", "|": r"\x7c"})
ADDRESS_CHARACTERS = "%/:?#&=+,;@~"  # brackets, quotes and blanks would end a link


def code(text: object, limit: int = MAX_CELL) -> str:
    """Any text as a code span on one line, also inside a table; a dash for an empty text."""
    shown = plain("" if text is None else str(text), limit).translate(ENDS_SPAN_OR_CELL)
    return f"`{shown}`" if shown.strip() else DASH


def sentence(text: str) -> str:
    """An error message as a code span, because it may quote text from outside."""
    return code(text.replace("`", "'"), 1000)


def address(url: str | None) -> str | None:
    """The address without characters that could end a link; None if it is not a web address."""
    if url is None or not re.match(r"https?://[\w.-]+", url, re.ASCII):
        return None
    return quote(plain(url, 2000), safe=ADDRESS_CHARACTERS)


def link(text: str, url: str | None) -> str:
    """A link with a text of our own; a dash without a web address."""
    target = address(url)
    return f"[{text}]({target})" if target else DASH


def number(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


def moment(value: datetime | None) -> str:
    """In UTC; the UI cannot convert times inside a text."""
    return DASH if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns whose title ends in a colon are right-aligned."""
    headers = [title.removesuffix(":") for title in titles]
    rule = ["---:" if title.endswith(":") else "---" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headers, rule, *rows))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, without titles."""
    return table(("", ""), rows)
