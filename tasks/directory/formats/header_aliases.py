"""Name of a CSV column, LDAP attribute or JSON property → field.

The map is data: `data/directory_headers.csv`, which a site can extend. Columns `family`, `header`, `field`; a row
without a family applies to every family that has the field. Rows of the site's own file precede ours; the field
`ignore` removes a name. The order of columns is never used, because the same export has had several headers.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from tasks.directory.model import ATTRIBUTES
from tasks.errors import SettingsError
from tasks.settings import DEFAULTS, Settings

FILE = "directory_headers.csv"
IGNORE = "ignore"

_PEOPLE = (
    "entra_id", "upn", "mail", "proxies", "other", "display_name", "given_name", "surname", "department", "job_title",
    "user_type", "account_enabled", "blocked", "employee_id", "onprem_sid", "onprem_immutable_id", "onprem_dn",
    "onprem_domain", "onprem_sam", "onprem_upn", "recipient_type", "deleted",
)  # fmt: skip
_CLOUD_PEOPLE = (
    "cloud_id", "upn", "mail", "proxies", "other", "display_name", "full_name", "given_name", "surname", "department",
    "job_title", "employee_id", "status", "blocked", "org_unit", "deleted",
)  # fmt: skip
FIELDS: Mapping[str, tuple[str, ...]] = {
    "entra-users": _PEOPLE,
    "exchange-recipients": _PEOPLE,
    "okta-users": _CLOUD_PEOPLE,
    "google-users": _CLOUD_PEOPLE,
    "entra-devices": (
        "device_name", "os", "os_version", "join_type", "owners", "user_names", "is_compliant", "is_managed",
        "entra_device_id", "entra_object_id", "last_seen",
    ),
    "intune-devices": (
        "intune_id", "device_name", "entra_device_id", "os", "os_version", "serial", "last_seen", "is_compliant",
        "is_managed", "managed_by", "user_id", "user_upn", "user_mail", "user_name", "logged_on_upn", "enrolled_by_upn",
    ),
    "ad": ATTRIBUTES,
    "configmgr": ("resource", "device_name", "account"),
}  # fmt: skip
"""Families of headers with their fields."""

_INDEX = re.compile(r"(?:\[\d+\]|(?<=aliases)\.\d+)$")  # columns `ProxyAddresses[0]` of a script, `aliases.0` of GAM


class HeaderAliases(NamedTuple):
    """By family: key of the header → field, in order of preference."""

    families: Mapping[str, Mapping[str, str]]

    def positions(self, family: str, header: Sequence[str]) -> dict[str, list[int]]:
        """Field → positions of its columns in this header, the preferred one first."""
        known = self.families[family]
        order = {key: number for number, key in enumerate(known)}
        keys = [header_key(name) for name in header]
        positions_by_field: defaultdict[str, list[int]] = defaultdict(list)
        for position in sorted((n for n, key in enumerate(keys) if key in known), key=lambda n: order[keys[n]]):
            positions_by_field[known[keys[position]]].append(position)
        return dict(positions_by_field)


def header_key(header: str) -> str:
    """A header for comparison: without case, quotes, index and repeated blanks."""
    return _INDEX.sub("", " ".join(header.strip("\ufeff\u200b \t\"'").split()).lower())


def load_headers(settings: Settings) -> HeaderAliases:
    """The site's aliases, then ours. Raises SettingsError."""
    files = dict.fromkeys([settings.data_file(FILE), DEFAULTS / FILE])
    return _aliases(row for path in files for row in _read_aliases(path))


def _aliases(rows: Iterable[tuple[str | None, str, str]]) -> HeaderAliases:
    families: dict[str, dict[str, str]] = {family: {} for family in FIELDS}
    for row_family, header, field in rows:
        for name in [row_family] if row_family else FIELDS:
            if field in (IGNORE, *FIELDS[name]):
                families[name].setdefault(header_key(header), field)
    aliases = {
        name: {key: field for key, field in known.items() if field != IGNORE} for name, known in families.items()
    }
    return HeaderAliases(aliases)


def _read_aliases(path: Path) -> list[tuple[str | None, str, str]]:
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as cause:
        raise SettingsError(f"{path} cannot be read as CSV ({cause}). Correct it or remove it.") from cause
    if not {"header", "field"} <= set(rows.columns):
        raise SettingsError(f"{path}: the columns header and field are required. Correct the file or remove it.")
    if "family" not in rows.columns:
        rows = rows.with_columns(family=pl.lit(None, pl.String))
    rows = rows.select(pl.col("family", "header", "field").str.strip_chars())
    for number, row in enumerate(rows.iter_rows(), start=2):
        _check_row(path, number, *row)
    return rows.rows()


def _check_row(path: Path, line: int, family: str | None, header: str | None, field: str | None) -> None:
    if family and family not in FIELDS:
        raise SettingsError(f"{path}, line {line}: the family must be one of {', '.join(FIELDS)}, or empty.")
    known = FIELDS[family] if family else sorted({name for fields in FIELDS.values() for name in fields})
    if not header or field not in (IGNORE, *known):
        raise SettingsError(f"{path}, line {line}: a header and one of these fields are needed: {', '.join(known)}.")
