"""The formats of CSV exports, by the fields that their columns give, and why a file is of none of them."""

import re
from collections.abc import Callable
from typing import NamedTuple

from tasks.directory.formats.csv_fields import CsvFields
from tasks.directory.formats.csv_table import Table
from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.model import Parsed
from tasks.directory.sources.ad_csv import read_ad
from tasks.directory.sources.cloud_users_csv import read_google_users, read_okta_users
from tasks.directory.sources.devices_csv import read_affinity, read_entra_devices, read_intune_devices
from tasks.directory.sources.entra_users_csv import read_entra_users
from tasks.errors import ExportRefused
from tasks.sanitize import plain

MAX_LISTED_HEADERS = 12

Columns = tuple[str, ...]
"""fields of which a file must have one"""


class CsvFormat(NamedTuple):
    family: str
    """of headers"""
    required: tuple[Columns, ...]
    names: tuple[str, ...]
    """what to call each of `required`"""
    read: Callable[[CsvFields], Parsed]

    def missing(self, fields: set[str]) -> list[int]:
        """The positions in `required` of which the file has no column."""
        return [place for place, columns in enumerate(self.required) if fields.isdisjoint(columns)]


CSV_FORMATS = (
    CsvFormat(
        "exchange-recipients",
        (("recipient_type",), ("upn", "mail", "proxies")),
        ("RecipientTypeDetails", "the mail address (PrimarySmtpAddress)"),
        read_entra_users,
    ),
    CsvFormat(
        "ad",
        (("dn", "distinguishedname", "objectguid", "objectsid", "entryuuid"),),
        ("the id (DistinguishedName, ObjectGUID or SID)",),
        read_ad,
    ),
    CsvFormat(
        "configmgr",
        (("device_name",), ("account",)),
        ("the computer (ResourceName)", "the user (UniqueUserName)"),
        read_affinity,
    ),
    CsvFormat(
        "entra-devices",
        (("device_name",), ("join_type",)),
        ("the device (displayName)", "joinType (trustType)"),
        read_entra_devices,
    ),
    CsvFormat(
        "intune-devices",
        (("device_name",), ("intune_id",)),
        ("the device (Device name)", "the id (Device ID)"),
        read_intune_devices,
    ),
    CsvFormat(
        "google-users",
        (("mail",), ("given_name", "display_name"), ("org_unit", "status", "blocked")),
        ("the mail address (Email Address [Required])", "the name", "Org Unit Path [Required] or Status [READ ONLY]"),
        read_google_users,
    ),
    CsvFormat(
        "okta-users",
        (("upn",), ("surname", "full_name"), ("status", "cloud_id")),
        ("the sign-in name (Username or login)", "the name",
         "Status or the id"),
        read_okta_users,
    ),
    CsvFormat(
        "entra-users",
        (("upn",), ("entra_id", "mail", "proxies", "display_name", "blocked")),
        ("the sign-in name (userPrincipalName)", "the id, the mail address or the name"),
        read_entra_users,
    ),
)  # fmt: skip
"""The first one of which nothing is missing is used."""

_DATA = re.compile(r"(?i)^[^@\s]+@[^@\s]+\.[^@\s]+$|^\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-|^S-1-5-|^(?:cn|uid|ou|dc)=[^=]+,")
"""An address, GUID, SID or DN is never a header."""
_DSQUERY_DN = re.compile(r'(?i)^"(?:cn|ou|dc)=[^"]+"\s*$')
_ALIGNED_WORDS = re.compile(r"^\s*[A-Za-z][\w\-]*(?:\s{2,}[A-Za-z][\w\-]*)+\s*$")
_RULER = re.compile(r"^-{2,}(?:\s+-{2,})*\s*$")
_LIST_LINE = re.compile(r"^[A-Za-z]\w*\s+: ")


def unknown_format(table: Table, aliases: HeaderAliases) -> ExportRefused:
    where = f"{plain(table.name)}, line {table.line}"
    first, *others = table.text[table.start :].splitlines()[:4]
    ruled = any(map(_RULER.match, others))
    if _DSQUERY_DN.match(first) or (first.startswith("  ") and _ALIGNED_WORDS.match(first) and not ruled):
        return ExportRefused(
            f"{where}: the output of dsquery, which is for the screen. Export with ldifde -f ad.ldif -u, "
            "or csvde -f ad.csv -u."
        )
    if ruled or _LIST_LINE.match(first) or _ALIGNED_WORDS.match(first):
        return ExportRefused(
            f"{where}: a list for the screen (Format-Table or Format-List), not CSV. Export with "
            "| Export-Csv -NoTypeInformation."
        )
    if any(_DATA.match(cell) for cell in table.header):
        return ExportRefused(
            f"{where}: the file has no header: its first line already has data. "
            "Export it with the names of the columns."
        )
    return _missing_columns(table, aliases, where)


def _missing_columns(table: Table, aliases: HeaderAliases, where: str) -> ExportRefused:
    """By the format that most columns are of; with equal numbers, the one of which least is missing."""
    fields = {item.family: set(aliases.positions(item.family, table.header)) for item in CSV_FORMATS}
    nearest = max(
        reversed(CSV_FORMATS), key=lambda item: (len(fields[item.family]), -len(item.missing(fields[item.family])))
    )
    shown = ", ".join(f'"{plain(header, 40)}"' for header in table.header[:MAX_LISTED_HEADERS])
    missing = nearest.missing(fields[nearest.family])
    lines = " and ".join(f"{nearest.family},<column>,{nearest.required[place][0]}" for place in missing)
    return ExportRefused(
        f"{where}: no column has {' or '.join(nearest.names[place] for place in missing)}; the columns are {shown}. "
        f"Export it as well, or, if a column has another name here, add the line {lines} to a copy of "
        "data/directory_headers.csv in the home."
    )
