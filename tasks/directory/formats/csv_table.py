"""Text of a CSV export → its header, and frames of the columns that are wanted (RFC 4180, any delimiter).

Python's csv module reads, not polars: it tells the line of a fault, keeps "" apart from a missing cell, and does not
take a row with too many cells for a fault of the whole file.
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
"""of the delimiters that exports use"""
CUT_SHORT = "the file ends in the middle of it"
BATCH_ROWS = 20_000  # rows are Python lists until they are a frame

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_PRELUDE = re.compile(r"(?i)#TYPE\s|sep=.\s*$")  # Windows PowerShell's first line (2.1), Excel's

# csvde writes the members of a group into one cell: 1500 names of 100 characters are more than the default.
csv.field_size_limit(1 << 26)


class Table(NamedTuple):
    """A CSV text whose header is known."""

    name: str
    text: str
    header: tuple[str, ...]
    delimiter: str
    start: int
    """place in the text where the header begins"""
    line: int
    """number of the header's line, from 1"""


class Rows(NamedTuple):
    """What the rows say."""

    frame: pl.DataFrame
    """the columns asked for, named by their place in the header; `row`: the line at which each row begins"""
    rejects: pl.DataFrame
    """REJECT_SCHEMA: rows of another shape"""
    complete: bool
    """whether the last row is whole"""


def read_header(name: str, text: str) -> Table:
    """The first line that is neither blank nor a prelude. Raises ExportRefused where there is none."""
    for number, match in enumerate(_LINE.finditer(text), start=1):
        line = match.group()
        if line.strip() and not _PRELUDE.match(line):
            delimiter = _delimiter(line)
            table = Table(name, text, (), delimiter, match.start(), number)
            _, _, header = next(_records(table))
            return table._replace(header=tuple(cell.strip() for cell in header))
    raise ExportRefused(f"{plain(name)} is empty. Export it again.")


def _delimiter(line: str) -> str:
    """What cuts the header into most cells outside of quotes; a comma where none does."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=bare.count)


def read_rows(table: Table, positions: Sequence[int]) -> Rows:
    """The columns at these places of the header. Rows that are blank or repeat the header are passed over.

    Missing cells at the end of a row are null; a row that is cut short by the end of the file, or has more cells than
    the header, is a reject. Raises ExportRefused with line and column where quotes do not match.
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
    """The number of the last line, where nothing ends it."""
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
    """The lines at which each record begins and ends, and its cells; the header is the first."""
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
        f"{plain(table.name)}, line {first}, column {column + 1} {plain(title)}: a quotation mark opens here that is "
        "not closed where the value ends. Export the file again; it may be cut short."
    )


def _bad_cell_position(table: Table, first: int) -> int:
    """The place of the first cell of a record that is no cell."""
    lines = [match.start() for match in _LINE.finditer(table.text, table.start)]
    at, delimiter_name = lines[first - table.line], re.escape(table.delimiter)
    cell = re.compile(rf' *(?:"(?:[^"]|"")*"(?=[{delimiter_name}\r\n]|$)|(?!")[^{delimiter_name}\r\n]*)')
    position = 0
    while (match := cell.match(table.text, at)) and table.text[match.end() : match.end() + 1] == table.delimiter:
        at, position = match.end() + 1, position + 1
    return position
