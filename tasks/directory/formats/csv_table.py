"""Text of a CSV export → its header, and a frame of selected columns (RFC 4180, any delimiter).

Read with Python's csv module, not polars: it gives the line of an error, distinguishes "" from a missing cell, and does
not fail as a whole for a row with too many cells.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.model import REJECT_SCHEMA
from tasks.errors import ExportRefused
from tasks.sanitize import plain

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""delimiters of exports and their names"""
CUT_SHORT = "the file ends within it"
BATCH_ROWS = 20_000  # rows are Python lists until they are a frame

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_PRELUDE = re.compile(r"(?i)#TYPE\s|sep=.\s*$")  # Windows PowerShell's first line, Excel's

# csvde writes the members of a group into one cell: 1500 names of 100 characters are more than the default.
csv.field_size_limit(1 << 26)


class Table(NamedTuple):
    """A CSV text with its header."""

    name: str
    text: str
    header: tuple[str, ...]
    delimiter: str
    start: int
    """offset of the header in the text"""
    line: int
    """number of the header's line, from 1"""


class Rows(NamedTuple):
    frame: pl.DataFrame
    """the selected columns, named by their position in the header; `row`: the first line of each row"""
    rejects: pl.DataFrame
    """REJECT_SCHEMA: rows with a wrong number of cells"""
    complete: bool
    """whether the last row is complete"""


def read_header(name: str, text: str) -> Table:
    """From the first line that is neither blank nor a prelude. Raises ExportRefused if there is none."""
    for number, match in enumerate(_LINE.finditer(text), start=1):
        line = match.group()
        if line.strip() and not _PRELUDE.match(line):
            delimiter = _delimiter(line)
            table = Table(name, text, (), delimiter, match.start(), number)
            _, _, header = next(_records(table))
            return table._replace(header=tuple(cell.strip() for cell in header))
    raise ExportRefused(f"{plain(name)} is empty. Export it again.")


def _delimiter(line: str) -> str:
    """The one with most occurrences in the header outside quotes; a comma if none occurs."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=bare.count)


def read_rows(table: Table, positions: Sequence[int]) -> Rows:
    """The columns at these positions of the header. Blank rows and repeated headers are skipped.

    Missing cells at the end of a row are null. A row that the end of the file cuts short, or with more cells than the
    header, is a reject. Raises ExportRefused with line and column for unbalanced quotes.
    """
    wanted = sorted(set(positions))
    schema = {"row": pl.Int64(), **dict.fromkeys(map(str, wanted), pl.String())}
    frames = [pl.DataFrame(schema=schema)]
    rejects: list[tuple[int, None, str]] = []
    batch: list[list[str | int | None]] = []
    cut_line = _unterminated_line(table)
    for first, last, cells in _data_rows(table):
        if reason := _row_fault(table, cells, is_cut=last == cut_line):
            rejects.append((first, None, reason))
            continue
        batch.append([first, *(cells[position] if position < len(cells) else None for position in wanted)])
        if len(batch) == BATCH_ROWS:
            frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
            batch = []
    frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    complete = not any(reason.endswith(CUT_SHORT) for _, _, reason in rejects)
    return Rows(pl.concat(frames), pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row"), complete)


def _unterminated_line(table: Table) -> int | None:
    """The number of the last line if no line end follows it."""
    if table.text.endswith(("\n", "\r")):
        return None
    return table.line - 1 + sum(1 for _ in _LINE.finditer(table.text, table.start))


def _data_rows(table: Table) -> Iterator[tuple[int, int, list[str]]]:
    records = _records(table)
    _, _, header = next(records)
    for first, last, cells in records:
        # `Export-Csv -Append` and joined files repeat the header.
        if any(cells) and cells != header and not cells[0].startswith("#TYPE "):
            yield first, last, cells


def _row_fault(table: Table, cells: list[str], *, is_cut: bool) -> str | None:
    width = len(table.header)
    if any(cells[width:]):
        delimiter_name = DELIMITERS.get(table.delimiter, table.delimiter)
        return f"the row has {len(cells)} cells, the header {width}: a {delimiter_name} in a value is not quoted"
    if is_cut and len(cells) < width:
        return f"the row has {len(cells)} cells, the header {width}: {CUT_SHORT}"
    return None


def _records(table: Table) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line and cells of each record; the header is the first record."""
    lines = (match.group() for match in _LINE.finditer(table.text, table.start))
    reader = csv.reader(lines, delimiter=table.delimiter, strict=True, skipinitialspace=True)
    while True:
        first = table.line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise _quote_error(table, first) from None
        yield first, table.line - 1 + reader.line_num, cells


def _quote_error(table: Table, first: int) -> ExportRefused:
    column = _bad_cell_position(table, first)
    title = table.header[column] if column < len(table.header) else ""
    return ExportRefused(
        f"{plain(table.name)}, line {first}, column {column + 1} {plain(title)}: the quotation mark that opens "
        "here is not closed at the end of the value. The file may be cut short: export it again."
    )


def _bad_cell_position(table: Table, first: int) -> int:
    """The position of the first malformed cell of a record."""
    lines = [match.start() for match in _LINE.finditer(table.text, table.start)]
    at, delimiter = lines[first - table.line], re.escape(table.delimiter)
    cell = re.compile(rf' *(?:"(?:[^"]|"")*"(?=[{delimiter}\r\n]|$)|(?!")[^{delimiter}\r\n]*)')
    position = 0
    while (match := cell.match(table.text, at)) and table.text[match.end() : match.end() + 1] == table.delimiter:
        at, position = match.end() + 1, position + 1
    return position
