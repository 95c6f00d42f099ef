"""Columns of a CSV export → the fields of its family as text, with what the export has lost on the way."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.formats.csv_table import Table, read_rows
from tasks.directory.formats.header_aliases import FIELDS
from tasks.directory.formats.values import is_sentinel, nothing
from tasks.directory.model import REJECT_SCHEMA
from tasks.sanitize import plain

LISTS = (
    "proxies", "other", "owners", "user_names", "proxyaddresses", "othermailbox", "member", "memberof", "objectclass",
)  # fmt: skip
"""Fields with several values: all their columns count (`ProxyAddresses[0]`, …); of others the first."""
NAMES = ("display_name", "given_name", "surname", "user_name", "displayname", "cn", "name")
_BYTES = "System.Byte[]"


class Cells(NamedTuple):
    """A CSV export in fields."""

    frame: pl.DataFrame
    """every field of the family as text, null where not told; `row`: its line"""
    told: frozenset[str]
    """fields that the file has a column for"""
    lost: frozenset[str]
    """fields of which a column holds type names instead of values"""
    rejects: pl.DataFrame
    warnings: tuple[str, ...]
    complete: bool


def read_cells(table: Table, family: str, places: dict[str, list[int]], *, pure_ascii: bool) -> Cells:
    """Read the columns at these places (`HeaderAliases.places`). Raises ExportRefused for broken quotes."""
    rows = read_rows(table, [each for found in places.values() for each in found])
    asked = [name for name in rows.frame.columns[1:] if rows.frame.select(is_sentinel(pl.col(name)).any()).item()]
    frame = rows.frame.with_columns(
        nothing(pl.when(~is_sentinel(pl.col(name))).then(name)).alias(name) for name in rows.frame.columns[1:]
    )
    fields = fields_of(frame, family, places)
    warnings = [*_lost(rows.frame, asked, table), *(_lost_letters(fields) if pure_ascii else ())]
    lost = frozenset(name for name, found in places.items() if set(map(str, found)) & set(asked))
    return Cells(fields, frozenset(places), lost, rows.rejects, tuple(warnings), rows.complete)


def fields_of(frame: pl.DataFrame, family: str, places: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """`row` and every field of the family, from columns named by their places."""
    return frame.select("row", *(_field(name, places.get(name, ())).alias(name) for name in FIELDS[family]))


def _field(name: str, places: Sequence[int]) -> pl.Expr:
    columns = [pl.col(str(place)) for place in places]
    if not columns:
        return pl.lit(None, pl.String)
    if name in LISTS and len(columns) > 1:
        return nothing(pl.concat_str(columns, separator=";", ignore_nulls=True))
    return pl.coalesce(columns)


def _lost(frame: pl.DataFrame, asked: list[str], table: Table) -> list[str]:
    """Type names in the place of values (2.3), and how to export those properly."""
    binary = [name for name in asked if frame.select((pl.col(name) == _BYTES).any()).item()]
    told = []
    for how, names in (
        ("$_.'{}' -join ';'", [name for name in asked if name not in binary]),
        ("[guid]$_.'{}'", binary),
    ):
        headers = [plain(table.header[int(name)], 60) for name in names]
        quoted = ",".join(f"'{each}'" for each in headers)
        joined = ",".join(f"@{{n='{each}';e={{{how.format(each)}}}}}" for each in headers)
        if headers:
            told.append(
                f"Type names stand in the place of the values of {', '.join(headers)}: they count as missing. Export "
                f"them with Select-Object *,{joined} -ExcludeProperty {quoted}."
            )
    return told


def _lost_letters(fields: pl.DataFrame) -> list[str]:
    """Windows PowerShell 5.1 writes `?` for every letter that is not ASCII (2.1); it cannot be undone."""
    marked = [pl.col(name).str.contains("?", literal=True) for name in NAMES if name in fields.columns]
    count = fields.filter(pl.any_horizontal(marked)).height if marked else 0
    if not count:
        return []
    return [f"{count} names hold a `?`: probably letters that the export lost. Export it with -Encoding UTF8."]


def reject(frame: pl.DataFrame, bad: pl.Expr, column: str | None, reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that are not bad, and REJECT_SCHEMA rows for those that are."""
    mask = frame.select(bad.fill_null(value=False).alias("bad")).to_series()
    if not mask.any():
        return frame, pl.DataFrame(schema=REJECT_SCHEMA)
    rejected = frame.filter(mask).select("row", column=pl.lit(column, pl.String), reason=pl.lit(reason))
    return frame.filter(~mask), rejected
