"""Format detection by content, never by file name (reference/directory-exports.md, 4.1)."""

import re
from collections.abc import Callable
from dataclasses import replace

from tasks.directory.formats.archive import is_zip, unzip
from tasks.directory.formats.csv_fields import CsvFields, read_fields
from tasks.directory.formats.csv_table import Table, read_header
from tasks.directory.formats.encoding import DecodedText, decode
from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json, ldif
from tasks.directory.sources.ad_csv import read_ad
from tasks.directory.sources.devices_csv import read_affinity, read_entra_devices, read_intune_devices
from tasks.directory.sources.entra_users_csv import read_entra_users
from tasks.errors import ExportRefused
from tasks.sanitize import plain

_WORKBOOK = b"\xd0\xcf\x11\xe0"  # Excel's older format
_LDIF_START = re.compile(r"(?i)(?:dn|version):")
_AD_ID = {"dn", "distinguishedname", "objectguid", "objectsid"}
_SHOWN = 12  # headers that a refusal names


def read_export(name: str, content: bytes, settings_headers: HeaderAliases, code_page: str = "cp1252") -> list[Parsed]:
    """Several parts for a zip of several files or a file with several kinds of objects.

    Raises ExportRefused for unsupported or damaged content, with file, line and column if known; SettingsError for an
    unknown code page.
    """
    if is_zip(content):
        files = unzip(name, content)
        return [part for member in files for part in _read_file(*member, settings_headers, code_page)]
    return _read_file(name, content, settings_headers, code_page)


def _read_file(name: str, content: bytes, aliases: HeaderAliases, code_page: str) -> list[Parsed]:
    if content.startswith(_WORKBOOK):
        raise ExportRefused(f"{plain(name)} is an Excel workbook. Import the original export, or save it as CSV UTF-8.")
    text = decode(name, content, code_page)
    start = text.text.lstrip()
    if start[:1] in ("{", "["):
        parts = graph_json.read(text.text, name, aliases)
    elif _is_ldif(start):
        parts = ldif.read(text.text, name, aliases)
    else:
        parts = [_read_csv(name, text, aliases)]
    return [replace(part, warnings=(*text.warnings, *part.warnings)) for part in parts]


def _is_ldif(text: str) -> bool:
    """The first line that is not a comment is `dn:` or `version:`; comments may be folded."""
    for match in re.finditer(r"[^\r\n]+", text):
        line = match.group()
        if line[0] not in "# ":
            return _LDIF_START.match(line) is not None
    return False


def _read_csv(name: str, text: DecodedText, aliases: HeaderAliases) -> Parsed:
    table = read_header(name, text.text)
    for family, matches, read in _CSV_FAMILIES:
        places = aliases.positions(family, table.header)
        if matches(set(places)):
            cells = read_fields(table, family, places, pure_ascii=text.pure_ascii)
            if cells.frame.is_empty() and cells.rejects.is_empty():
                raise ExportRefused(f"{plain(name)} has a header and no rows. Export it again.")
            return replace(read(cells), complete=cells.complete)
    raise _unknown_format(table, aliases)


def _unknown_format(table: Table, aliases: HeaderAliases) -> ExportRefused:
    where = f"{plain(table.name)}, line {table.line}"
    if "samaccountname" in aliases.positions("ad", table.header):
        return ExportRefused(
            f"{where}: the export has none of the columns DistinguishedName, ObjectGUID, SID. "
            "Export it again with at least one of them."
        )
    shown = ", ".join(f'"{plain(header, 40)}"' for header in table.header[:_SHOWN])
    return ExportRefused(
        f"{where}: unknown header {shown}. If the columns of a supported export have other names here, add the "
        "names to directory_headers.csv in the home."
    )


def _has_people_fields(fields: set[str]) -> bool:
    return "upn" in fields and bool(fields & {"entra_id", "mail", "proxies", "display_name", "blocked"})


FamilyTest = Callable[[set[str]], bool]
_CSV_FAMILIES: tuple[tuple[str, FamilyTest, Callable[[CsvFields], Parsed]], ...] = (
    ("ad", lambda fields: bool(fields & _AD_ID), read_ad),
    ("configmgr", lambda fields: {"device_name", "account"} <= fields, read_affinity),
    ("entra-devices", lambda fields: {"device_name", "join_type"} <= fields, read_entra_devices),
    ("intune-devices", lambda fields: {"device_name", "intune_id"} <= fields, read_intune_devices),
    ("entra-users", _has_people_fields, read_entra_users),
)
"""Families of headers, the test of their fields and their reader; the first match is used."""
