"""Intune's device report as JSON, with the raw column names of its CSV."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from tasks.directory.formats.csv_fields import CsvFields, select_fields
from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.formats.values import clean_text
from tasks.directory.model import REJECT_SCHEMA, Parsed
from tasks.directory.sources.devices_csv import read_intune_devices

KEY_FIELDS = {"deviceid", "devicename"}
"""in lower case; an Entra device has a `deviceId`, too, but a `displayName` instead of a `deviceName`"""


def read_report_devices(headers: HeaderAliases, records: Sequence[object], rows: Sequence[int]) -> Parsed:
    """Source `intune-devices`, as for the CSV; `rows`: numbers of the records in the file."""
    objects = [record for record in records if isinstance(record, dict)]
    names = list(dict.fromkeys(name for record in objects for name in record))
    columns = {
        str(position): pl.Series([_text(record.get(name)) for record in objects], dtype=pl.String)
        for position, name in enumerate(names)
    }
    positions = headers.positions("intune-devices", names)
    frame = pl.DataFrame({"row": pl.Series(rows, dtype=pl.Int64), **columns}).with_columns(
        clean_text(pl.col(pl.String))
    )
    fields = CsvFields(
        select_fields(frame, "intune-devices", positions),
        frozenset(positions),
        frozenset(),
        pl.DataFrame(schema=REJECT_SCHEMA),
        (),
        complete=True,
    )
    return replace(read_intune_devices(fields), family="Intune devices report as JSON")


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int | float) else None
