"""Columns of a CSV export → the fields of its family as text, with warnings about values that the export lost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.formats.csv_table import Table, read_rows
from tasks.directory.formats.header_aliases import FIELDS
from tasks.directory.formats.values import clean_text, is_type_name
from tasks.directory.model import REJECT_SCHEMA
from tasks.formatting import format_count
from tasks.sanitize import plain

LIST_FIELDS = (
    "proxies", "other", "owners", "user_names", "proxyaddresses", "aliases", "othermailbox", "member", "uniquemember",
    "memberuid", "memberaddress", "memberof", "objectclass",
)  # fmt: skip
"""Multi-valued fields: all their columns are read (`ProxyAddresses[0]`, …); of others, the first non-empty one."""
NAME_FIELDS = ("display_name", "given_name", "surname", "user_name", "displayname", "cn", "name")
_BYTES = "System.Byte[]"


class CsvFields(NamedTuple):
    frame: pl.DataFrame
    """every field of the family as text, null where missing; `row`: its line"""
    present: frozenset[str]
    """fields for which the file has a column"""
    lost: frozenset[str]
    """fields with a column of type names instead of values"""
    rejects: pl.DataFrame
    warnings: tuple[str, ...]
    complete: bool


def read_fields(table: Table, family: str, positions: dict[str, list[int]], *, pure_ascii: bool) -> CsvFields:
    """Read the columns at these positions (from `HeaderAliases.positions`). Raises ExportRefused for broken quotes."""
    rows = read_rows(table, [position for columns_of_field in positions.values() for position in columns_of_field])
    lost_columns = [
        name for name in rows.frame.columns[1:] if rows.frame.select(is_type_name(pl.col(name)).any()).item()
    ]
    frame = rows.frame.with_columns(
        clean_text(pl.when(~is_type_name(pl.col(name))).then(name)).alias(name) for name in rows.frame.columns[1:]
    )
    fields = select_fields(frame, family, positions)
    warnings = [
        *_lost_list_warnings(rows.frame, lost_columns, table),
        *(_lost_letter_warnings(fields) if pure_ascii else ()),
    ]
    lost = frozenset(
        name for name, columns_of_field in positions.items() if set(map(str, columns_of_field)) & set(lost_columns)
    )
    return CsvFields(fields, frozenset(positions), lost, rows.rejects, tuple(warnings), rows.complete)


def select_fields(frame: pl.DataFrame, family: str, positions: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """`row` and every field of the family, from columns whose names are their positions."""
    return frame.select("row", *(_field(name, positions.get(name, ())).alias(name) for name in FIELDS[family]))


def _field(name: str, positions: Sequence[int]) -> pl.Expr:
    columns = [pl.col(str(position)) for position in positions]
    if not columns:
        return pl.lit(None, pl.String)
    if name in LIST_FIELDS and len(columns) > 1:
        return clean_text(pl.concat_str(columns, separator=";", ignore_nulls=True))
    return pl.coalesce(columns)


def _lost_list_warnings(frame: pl.DataFrame, lost_columns: list[str], table: Table) -> list[str]:
    """About columns with type names instead of values, with the command that exports them properly."""
    binary = [name for name in lost_columns if frame.select((pl.col(name) == _BYTES).any()).item()]
    warnings = []
    for how, names in (
        ("$_.'{}' -join ';'", [name for name in lost_columns if name not in binary]),
        ("[guid]$_.'{}'", binary),
    ):
        headers = [plain(table.header[int(name)], 60) for name in names]
        quoted = ",".join(f"'{header}'" for header in headers)
        joined = ",".join(f"@{{n='{header}';e={{{how.format(header)}}}}}" for header in headers)
        if headers:
            warnings.append(
                f"{', '.join(headers)}: the export has type names instead of values, which count as missing. Export "
                f"them with Select-Object *,{joined} -ExcludeProperty {quoted}."
            )
    return warnings


def _lost_letter_warnings(fields: pl.DataFrame) -> list[str]:
    """Windows PowerShell 5.1 writes `?` for every non-ASCII letter, which cannot be undone."""
    marked = [pl.col(name).str.contains("?", literal=True) for name in NAME_FIELDS if name in fields.columns]
    count = fields.filter(pl.any_horizontal(marked)).height if marked else 0
    if not count:
        return []
    return [
        f"{format_count(count, 'name')} with a `?`, probably in place of letters that the export lost. Export with "
        "-Encoding UTF8."
    ]


def split_rejects(
    frame: pl.DataFrame, bad: pl.Expr, column: str | None, reason: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are not `bad`, and REJECT_SCHEMA rows for the others."""
    is_bad = frame.select(bad.fill_null(value=False).alias("bad")).to_series()
    if not is_bad.any():
        return frame, pl.DataFrame(schema=REJECT_SCHEMA)
    rejected = frame.filter(is_bad).select("row", column=pl.lit(column, pl.String), reason=pl.lit(reason))
    return frame.filter(~is_bad), rejected
