"""LDIF (RFC 2849) of ldifde, ldapsearch and OpenLDAP.

Lines are unfolded before decoding. A damaged entry is a reject with its line; a file without a readable entry is
refused. `attr:< url` is never fetched.
"""

import binascii
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from tasks.directory.formats.csv_table import CUT_SHORT
from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.model import REJECT_SCHEMA, Parsed
from tasks.directory.sources.active_directory import Attributes, ad_objects, entries_frame
from tasks.errors import ExportRefused
from tasks.formatting import format_count
from tasks.sanitize import plain

# Attributes of Active Directory only; other servers are source `ldap`.
_MICROSOFT = frozenset({"objectsid", "objectguid", "samaccountname", "useraccountcontrol"})
_BINARY = frozenset({"objectguid", "objectsid", "ms-ds-consistencyguid"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]*(?:;[A-Za-z0-9.\-=*]+)*")
_RANGE = re.compile(r"range=\d+-(\d+|\*)")
_OTHER_BLOCKS = frozenset({"version", "search", "result", "ref", "control", "matcheddn", "text"})
"""First attributes of the blocks between and after the entries of ldapsearch."""


class _Line(NamedTuple):
    number: int
    """of its first physical line, from 1"""
    text: str


class _DamagedEntry(Exception):
    """An unusable entry: line, attribute and reason, and the column if known."""

    def __init__(self, line: int, attribute: str | None, reason: str, column: int | None = None) -> None:
        super().__init__(line, attribute, reason)
        self.column = column


def read(text: str, name: str, headers: HeaderAliases) -> list[Parsed]:
    """One part: source `ad`, or `ldap` if no entry is Active Directory's; `headers`: names of attributes.

    Raises ExportRefused if there is no person, group, contact or computer.
    """
    names = headers.families["ad"]
    entries: list[Attributes] = []
    rows: list[int] = []
    rejects: list[tuple[int, str | None, str]] = []
    columns: dict[int, int | None] = {}
    counts: Counter[str] = Counter()
    for lines in _split_blocks(text.removeprefix("\ufeff")):
        try:
            entry = _parse_entry(_terminated(lines, text), names, counts)
        except _DamagedEntry as damaged:
            rejects.append(damaged.args)
            columns[damaged.args[0]] = damaged.column
            continue
        if entry is not None:
            entries.append(entry)
            rows.append(lines[0].number)
    microsoft = any(not _MICROSOFT.isdisjoint(entry) for entry in entries)
    parsed = ad_objects(
        entries_frame(entries, rows, names), *(("ad", "AD as LDIF") if microsoft else ("ldap", "LDAP as LDIF"))
    )
    rejected = pl.concat([pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row"), parsed.rejects]).sort("row")
    if parsed.objects.is_empty() and parsed.devices.is_empty():
        raise ExportRefused(_refusal_text(name, len(entries) + counts["change"], rejected, columns))
    warnings = (*parsed.warnings, *_warnings(counts))
    complete = not counts["cut"] and not any(reason.endswith(CUT_SHORT) for _, _, reason in rejects)
    return [replace(parsed, rejects=rejected, warnings=warnings, complete=complete)]


def _refusal_text(name: str, entries: int, rejects: pl.DataFrame, columns: dict[int, int | None]) -> str:
    """`columns`: line of a damaged entry → column."""
    file = plain(name)
    if not rejects.is_empty():
        row, attribute, reason = rejects.row(0)
        where = (f", column {column}" if (column := columns.get(row)) else "") + (f" {attribute}" if attribute else "")
        return f"{file}, line {row}{where}: {reason}. No entry could be read. Export the file again."
    if entries:
        count = format_count(entries, "entry")
        return f"{file}: none of its {count} is a person, group, contact or computer. Export those."
    return f"{file}: the file has no entries (lines `dn: …`). Export it again."


def _warnings(counts: Counter[str]) -> Iterator[str]:
    if count := counts["change"]:
        yield f"{format_count(count, 'change record')} (changetype other than add) ignored."
    if count := counts["url"]:
        yield f"{format_count(count, 'value')} given by URL (`attr:<`) ignored: URLs are never fetched."
    if count := counts["ranged"]:
        yield f"{format_count(count, 'entry')} with only a part of a long member list (`;range=`). Export all ranges."
    if counts["cut"]:
        yield "The server truncated the result (`result:` is not 0). Export with paging (`-E pr=1000`)."


def _split_blocks(text: str) -> Iterator[list[_Line]]:
    """Unfolded lines between blank lines, without comments (which may be folded, too).

    If the file ends within a line, the last block ends with an empty one.
    """
    block: list[_Line] = []
    in_comment = False
    folded: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if line.startswith(" ") and (block or in_comment):
            folded.append(line[1:])
            continue
        if folded and not in_comment:
            block[-1] = _Line(block[-1].number, block[-1].text + "".join(folded))
        folded = []
        in_comment = line.startswith("#")
        if line and not in_comment:
            block.append(_Line(number, line))
        elif not line and block:
            yield block
            block = []
    if folded and not in_comment:
        block[-1] = _Line(block[-1].number, block[-1].text + "".join(folded))
    if block:
        yield block if in_comment else [*block, _Line(number, "")]


def _terminated(lines: list[_Line], text: str) -> list[_Line]:
    """The lines without the mark of a missing line end.

    Raises _DamagedEntry if the end of the file cuts an entry short; other blocks may end anywhere.
    """
    if lines[-1].text:
        return lines
    attribute = lines[0].text.partition(":")[0].lower()
    if (attribute == "version" or attribute not in _OTHER_BLOCKS) and _is_cut(lines[:-1], text):
        raise _DamagedEntry(lines[0].number, None, f"unterminated last line: {CUT_SHORT}")
    return lines[:-1]


def _is_cut(lines: list[_Line], text: str) -> bool:
    """Whether the last line is only the beginning of one.

    The end of an address or DN is, if in other lines it always goes on.
    """
    if len(lines) == 1:
        return True
    _, colon, value = lines[-1].text.partition(":")
    if not colon or not value.strip(": "):
        return True
    if value.startswith(":"):
        encoded = value[1:].strip()
        return len(encoded) % 4 > 0
    tail = re.search(r"@[^@]+$|,[^,=]+=[^,=]*$", value)
    if tail is None:
        return False
    unfolded = re.sub(r"\r?\n ", "", text)
    followed_by = [match[1] for match in re.finditer(rf"(?i){re.escape(tail[0])}([a-z0-9.\-]?)", unfolded)][:-1]
    return bool(followed_by) and all(followed_by)


def _parse_entry(lines: list[_Line], names: Mapping[str, str], counts: Counter[str]) -> Attributes | None:
    """The values of the attributes in `names` (attribute → field); None for other blocks."""
    while lines and lines[0].text.lower().startswith("version:"):
        lines = lines[1:]
    if not lines:
        return None
    attribute, _, dn = _parse_attribute(lines[0])
    if attribute in _OTHER_BLOCKS:
        counts["cut"] += sum(_is_failed_result(line.text) for line in lines)
        return None
    if attribute != "dn":
        raise _DamagedEntry(lines[0].number, None, "the entry does not begin with dn:", 1)
    values: Attributes = {"dn": [_decode_value(lines[0], "dn", dn)]}
    other_languages: Attributes = {}
    range_end = "*"
    for line in lines[1:]:
        attribute, options, rest = _parse_attribute(line)
        if attribute == "changetype" and rest.strip().lower() != "add":
            counts["change"] += 1
            return None
        if names.get(attribute, "dn") == "dn":
            continue
        if rest.startswith("<"):
            counts["url"] += 1
            continue
        if range_match := _RANGE.search(options):
            range_end = range_match[1]
        into = other_languages if "lang-" in options else values
        into.setdefault(attribute, []).append(_decode_value(line, names[attribute], rest))
    counts["ranged"] += range_end != "*"
    return other_languages | values if values["dn"] != [""] else None


def _is_failed_result(line: str) -> bool:
    return line.startswith("result:") and line.removeprefix("result:").split()[:1] != ["0"]


def _parse_attribute(line: _Line) -> tuple[str, str, str]:
    """Name and options in lower case, and the rest after the first colon."""
    name, colon, rest = line.text.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise _DamagedEntry(line.number, None, "not an attribute or its continuation", 1)
    attribute, _, options = name.lower().partition(";")
    return attribute, options, rest


def _decode_value(line: _Line, field: str, rest: str) -> str:
    """The value as text; binary ids stay base64."""
    if not rest.startswith(":"):
        return rest.strip(" ")
    encoded = rest[1:].strip(" ")
    try:
        value = b64decode(encoded, validate=True)
        return encoded if field in _BINARY else value.decode()
    except (binascii.Error, ValueError):  # also: not UTF-8, and characters outside base64
        column = len(line.text) - len(rest[1:].lstrip(" ")) + 1
        raise _DamagedEntry(line.number, field, "the value is not valid UTF-8 in base64", column) from None
