"""Markdown for the Prefect UI: a few building blocks in which nothing that strangers wrote is obeyed.

Foreign text stands in a code span. Escaping sign by sign is not enough there: the UI decodes escapes first and makes
links of what then looks like an address.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from tasks.sanitize import plain

DASH = "-"
LONGEST = 80  # characters of a cell
ENDS_SPAN_OR_CELL = str.maketrans({"`": r"\x60", "|": r"\x7c"})
KEPT_IN_ADDRESS = "%/:?#&=+,;@~"  # what an address needs; brackets, quotes and blanks would end a link


def code(text: object, limit: int = LONGEST) -> str:
    """Anybody's text as a code span on one line, also inside a table; nothing is a dash."""
    shown = plain("" if text is None else str(text), limit).translate(ENDS_SPAN_OR_CELL)
    return f"`{shown}`" if shown.strip() else DASH


def sentence(text: str) -> str:
    """The text of an error: ours, but it may quote somebody. As a code span."""
    return code(text.replace("`", "'"), 1000)


def address(url: str | None) -> str | None:
    """The address without anything that could end a link; None where it is none of the web."""
    if url is None or not re.match(r"https?://[\w.-]+", url, re.ASCII):
        return None
    return quote(plain(url, 2000), safe=KEPT_IN_ADDRESS)


def link(text: str, url: str | None) -> str:
    """A link with a text of our own; a dash without an address."""
    target = address(url)
    return f"[{text}]({target})" if target else DASH


def number(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


def moment(value: datetime | None) -> str:
    """In UTC, as everything in the UI that is text."""
    return DASH if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Titles that end in a colon are columns of figures."""
    heads = [title.removesuffix(":") for title in titles]
    rule = ["---:" if title.endswith(":") else "---" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names on the left, values on the right."""
    return table(("", ""), rows)
