"""Format detection by content, never by file name."""

import re
from dataclasses import replace

from tasks.directory.formats.archive import is_zip, unzip
from tasks.directory.formats.csv_fields import read_fields
from tasks.directory.formats.csv_table import read_header
from tasks.directory.formats.encoding import DecodedText, decode
from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.formats.row_numbers import reject_reasons
from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json, ldif
from tasks.directory.sources.csv_formats import CSV_FORMATS, unknown_format
from tasks.errors import ExportRefused
from tasks.sanitize import plain

_WORKBOOK = b"\xd0\xcf\x11\xe0"  # Excel's older format
_LDIF_START = re.compile(r"(?i)(?:dn|version):")


def read_export(name: str, content: bytes, aliases: HeaderAliases, code_page: str = "cp1252") -> list[Parsed]:
    """Several parts for a zip of several files or a file with several kinds of objects.

    Raises ExportRefused for unsupported or damaged content, with file, line and column if known; SettingsError for an
    unknown code page.
    """
    if is_zip(content):
        files = unzip(name, content)
        return [part for member in files for part in _read_file(*member, aliases, code_page)]
    return _read_file(name, content, aliases, code_page)


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
    _check_not_empty(name, parts)
    return [replace(part, warnings=(*text.warnings, *part.warnings)) for part in parts]


def _is_ldif(text: str) -> bool:
    """The first line that is not a comment is `dn:` or `version:`; comments may be folded."""
    for match in re.finditer(r"[^\r\n]+", text):
        line = match.group()
        if line[0] not in "# ":
            return _LDIF_START.match(line) is not None
    return False


def _check_not_empty(name: str, parts: list[Parsed]) -> None:
    """Raises ExportRefused, with the reason, if nothing was read."""
    if any(not part.objects.is_empty() or not part.devices.is_empty() for part in parts):
        return
    reasons = [reason for part in parts for reason in reject_reasons(part)]
    reasons += [warning.rstrip(".") for part in parts for warning in part.warnings]
    why = "; ".join(reasons) or "it has no entries"
    raise ExportRefused(f"{plain(name)} has nothing to import: {why}. Export people, groups, contacts or devices.")


def _read_csv(name: str, text: DecodedText, aliases: HeaderAliases) -> Parsed:
    table = read_header(name, text.text)
    for csv_format in CSV_FORMATS:
        positions = aliases.positions(csv_format.family, table.header)
        if not csv_format.missing(set(positions)):
            cells = read_fields(table, csv_format.family, positions, pure_ascii=text.pure_ascii)
            if cells.frame.is_empty() and cells.rejects.is_empty():
                raise ExportRefused(f"{plain(name)} has a header and no rows. Export it again.")
            return replace(csv_format.read(cells), complete=cells.complete)
    raise unknown_format(table, aliases)
