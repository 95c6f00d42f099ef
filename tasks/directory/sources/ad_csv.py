"""CSV exports of Active Directory: csvde, and Get-ADUser, Get-ADComputer, Get-ADGroup through Export-Csv.

Reference sections 2.1 to 2.6. Cells become attributes of entries for `active_directory.py`.
"""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from tasks.directory.formats.csv_fields import CsvFields, split_rejects
from tasks.directory.formats.guid_sid import guid, sid
from tasks.directory.formats.header_aliases import FIELDS
from tasks.directory.formats.values import split_proxies
from tasks.directory.model import Parsed
from tasks.directory.sources.active_directory import NO_ALIASES, ad_objects

BINARY = ("objectguid", "objectsid", "ms-ds-consistencyguid", "entryuuid")
_HEX = r"(?i)^X'((?:[0-9a-f]{2})+)'$"
# A DN in a joined cell ends where the next one begins, because a DN may contain `;`.
_NEXT_DN = r"(?i)[;|]\s*((?:cn|ou|dc|uid|o|l|c|st)=)"
_CUT = "\x1f"


def read_ad(fields: CsvFields) -> Parsed:
    """People, groups, contacts and computers; rows with an invalid id are rejects.

    The source is `ad` for csvde and mixed files, else `ad-users`, `ad-computers`, `ad-groups`: each is a snapshot of
    its own.
    """
    frame, no_guid = split_rejects(
        fields.frame, _is_invalid("objectguid", guid), "objectGUID", "the objectGUID is not a valid GUID"
    )
    frame, no_sid = split_rejects(frame, _is_invalid("objectsid", sid), "objectSid", "the objectSid is not a valid SID")
    csvde, lost = "dn" in fields.present, "proxyaddresses" in fields.lost
    parsed = ad_objects(
        _entries(frame), "ad", "csvde" if csvde else "AD by PowerShell CSV (Get-ADUser, Get-ADComputer)"
    )
    return replace(
        parsed,
        source="ad" if csvde else _source_of(parsed),
        rejects=pl.concat([fields.rejects, no_guid, no_sid, parsed.rejects]).sort("row"),
        # There is already a warning about the lost column.
        warnings=(*fields.warnings, *(warning for warning in parsed.warnings if not (lost and warning == NO_ALIASES))),
        aliases_lost=lost,
    )


def _is_invalid(column: str, read: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    return pl.col(column).is_not_null() & read(pl.col(column)).is_null()


def _source_of(parsed: Parsed) -> str:
    """By the objects in the file, because Export-Csv writes any mix."""
    kinds = set(parsed.objects["kind"].unique())
    if parsed.objects.is_empty() and not parsed.devices.is_empty():
        return "ad-computers"
    if not parsed.devices.is_empty():
        return "ad"
    return "ad-groups" if kinds == {"group"} else "ad-users"


def _entries(frame: pl.DataFrame) -> pl.DataFrame:
    """Input of `ad_objects`: lists of values."""
    texts = frame.with_columns(_decode_hex(name) for name in FIELDS["ad"] if name not in BINARY)
    lists = {
        "objectclass": pl.col("objectclass").str.split(";"),
        "proxyaddresses": split_proxies(pl.col("proxyaddresses")),
        "aliases": split_proxies(pl.col("aliases")),
        "othermailbox": split_proxies(pl.col("othermailbox")),
        "memberaddress": split_proxies(pl.col("memberaddress")),
        "member": _split_names("member"),
        "uniquemember": _split_names("uniquemember"),
        "memberuid": pl.col("memberuid").str.split(";"),
        "memberof": _split_names("memberof"),
    }
    single = [name for name in texts.columns if name not in (*lists, "row")]
    return texts.select(
        "row",
        *(pl.when(pl.col(name).is_not_null()).then(pl.concat_list(name)).alias(name) for name in single),
        **lists,
    )


def _decode_hex(name: str) -> pl.Expr:
    """csvde also writes non-ASCII text as X'…', in UTF-8."""
    text = pl.col(name).str.extract(_HEX, 1).map_elements(_utf8_of_hex, return_dtype=pl.String)
    return pl.coalesce(text, name).alias(name)


def _utf8_of_hex(digits: str) -> str | None:
    try:
        text = bytes.fromhex(digits).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _split_names(column: str) -> pl.Expr:
    parts = pl.col(column).str.replace_all(_CUT, " ", literal=True).str.replace_all(_NEXT_DN, _CUT + "${1}")
    return parts.str.split(_CUT)
