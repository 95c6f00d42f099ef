"""Ids of directory objects as text: GUIDs and SIDs, from text, base64 (JSON, LDIF) or csvde's X'…'.

Expressions on text columns; invalid values become null.
"""

import polars as pl

from tasks.directory.formats.values import ZERO_GUID, clean_text

_CSVDE_HEX = r"(?i)^X'((?:[0-9a-f]{2})+)'$"
_BASE64 = r"^[A-Za-z0-9+/]+={0,2}$"
_GUID = r"(?i)^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$"
_GUID_BYTES = r"^(..)(..)(..)(..)(..)(..)(..)(..)(.{4})(.{12})$"
_GUID_TEXT = "${4}${3}${2}${1}-${6}${5}-${8}${7}-${9}-${10}"
"""the first three of a GUID's five fields are little-endian"""


def guid(expr: pl.Expr) -> pl.Expr:
    """A GUID in lower case with dashes, from text, base64 or csvde's X'…'; null for the zero GUID and anything else."""
    text = clean_text(expr)
    digits = pl.coalesce(_hex(text), text.str.extract(_CSVDE_HEX, 1).str.to_lowercase())
    found = pl.coalesce(text.str.extract(_GUID, 1).str.to_lowercase(), _guid_of_hex(digits))
    return pl.when(found != ZERO_GUID).then(found)


def immutable_guid(expr: pl.Expr) -> pl.Expr:
    """The GUID in an onPremisesImmutableId; null where a site uses another anchor (3.3 A 2)."""
    return _guid_of_hex(_hex(clean_text(expr)))


def sid(expr: pl.Expr) -> pl.Expr:
    """A SID as S-1-…, from text, base64 or csvde's X'…'; null for anything else."""
    text = clean_text(expr)
    digits = pl.coalesce(text.str.extract(_CSVDE_HEX, 1), _hex(text))
    binary = digits.map_elements(lambda value: sid_of_bytes(bytes.fromhex(value)), return_dtype=pl.String)
    return pl.coalesce(text.str.to_uppercase().str.extract(r"^(S-1-\d+(?:-\d+)+)$", 1), binary)


def _hex(text: pl.Expr) -> pl.Expr:
    """Base64 as hex digits; null for anything else."""
    is_base64 = text.str.contains(_BASE64) & (text.str.len_bytes() % 4 == 0)
    return pl.when(is_base64).then(text).str.decode("base64", strict=False).bin.encode("hex")


def _guid_of_hex(digits: pl.Expr) -> pl.Expr:
    # A single replacement: polars evaluates a shared sub-expression once for each use.
    text = digits.str.replace(_GUID_BYTES, _GUID_TEXT)
    return pl.when(text.str.len_bytes() == 36).then(text)


def sid_of_bytes(value: bytes) -> str | None:
    """objectSid as text: revision, count, authority (big-endian), sub-authorities (little-endian)."""
    if len(value) < 12 or value[0] != 1 or len(value) != 8 + 4 * value[1]:
        return None
    parts = [int.from_bytes(value[at : at + 4], "little") for at in range(8, len(value), 4)]
    return "-".join(map(str, ["S-1", int.from_bytes(value[2:8], "big"), *parts]))
