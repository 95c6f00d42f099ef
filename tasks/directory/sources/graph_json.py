"""JSON exports → source objects: responses of Microsoft Graph and files of LDAP collectors.

The kind of a record is given by `@odata.type` or `@odata.context`, else by its fields.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import polars as pl

from tasks.directory.formats.header_aliases import HeaderAliases
from tasks.directory.formats.json_names import FAMILIES, JsonNames, names_of
from tasks.directory.formats.json_pages import Page, Record, read_pages
from tasks.directory.model import REJECT_SCHEMA, Parsed
from tasks.directory.sources.active_directory import ad_objects, entries_frame
from tasks.directory.sources.graph_devices import devices, managed_devices
from tasks.directory.sources.graph_users import contacts, groups, users
from tasks.directory.sources.intune_report import KEY_FIELDS, read_report_devices
from tasks.errors import ExportRefused
from tasks.formatting import format_count
from tasks.sanitize import plain

__all__ = ["contacts", "devices", "groups", "managed_devices", "read", "users"]


def ldap_objects(headers: HeaderAliases, records: Sequence[object], rows: Sequence[int]) -> Parsed:
    """Source `ad`. LDAP collectors write a list of one value as the value itself."""
    frame = entries_frame([_entry(record) for record in records], rows, headers.families["ad"])
    return ad_objects(frame, "ad", "Active Directory as JSON")


_READERS: dict[str, Callable[[Sequence[object], Sequence[int]], Parsed]] = {
    "user": users,
    "device": devices,
    "manageddevice": managed_devices,
    "group": groups,
    "orgcontact": contacts,
}
_FIELDS = {
    "ldap": ("objectsid", "objectguid", "distinguishedname", "samaccountname", "objectclass"),
    "manageddevice": ("azureaddeviceid", "managementagent", "lastsyncdatetime", "enrolleddatetime"),
    "device": ("deviceid", "registeredusers", "registeredowners", "physicalids", "trusttype"),
    "group": ("grouptypes", "members", "transitivemembers", "securityenabled", "mailenabled"),
    "orgcontact": ("phones", "addresses"),
    "user": ("userprincipalname", "proxyaddresses", "jobtitle", "usertype", "givenname", "surname", "mail"),
}
"""Kind → fields in lower case, any of which identifies it; the first matching kind is used."""
# `#users`, `#users(id,mail)`, `#users/$entity`, `#users/$delta`, but not `#users('…')/ownedDevices`.
_CONTEXT = re.compile(
    r"(?:devicemanagement/)?(user|device|group|manageddevice|contact)s(?:\((?!').*\))?(?:/\$.*)?", re.DOTALL
)
_CONTACTS = "contact"  # in a context; their type is orgContact
_RELATED = re.compile(r"\('|^directoryObjects$")  # `users('…')/ownedDevices`
_SINGLE_OBJECT = re.compile(rf"{_RELATED.pattern}|\$entity$")
_TYPE = re.compile(r"#?microsoft\.graph\.(user|device|group|manageddevice|orgcontact)")
REPORT, LDAP = "report", "ldap"
_EXPANDED = ("group", "device")
_RELATIONS = ("members", "transitivemembers", "registeredusers", "registeredowners")
_EXPAND_LIMIT = 20  # related objects that Graph returns with an object; it omits the others silently


class _RecordsByKind(NamedTuple):
    records: dict[str, tuple[list[object], list[int]]]
    """kind → records and their numbers in the file, from 1"""
    unknown: list[int]
    """numbers of records of no known kind"""
    warnings: list[str]
    complete: bool = True


def read(text: str, name: str, headers: HeaderAliases) -> list[Parsed]:
    """One part for each kind of object in the file; `headers`: names of a report's columns.

    Raises ExportRefused for invalid JSON, for an error response, and if no record is of a known kind.
    """
    pages = read_pages(text, name)
    if not any(page.records for page in pages):
        raise ExportRefused(
            f"{plain(name)}: the answer is empty (it has no record). Repeat the request without a filter, by an "
            "account that may read the objects."
        )
    result = _sort_records(pages, headers)
    if not result.records:
        raise ExportRefused(
            f"{plain(name)}: none of its {format_count(len(result.unknown), 'record')} is a user, device, group or "
            "contact of Microsoft Graph or an LDAP collector. Export users, devices or groups."
        )
    readers = _READERS | {REPORT: partial(read_report_devices, headers), LDAP: partial(ldap_objects, headers)}
    first, *others = [readers[kind](*records) for kind, records in result.records.items()]
    unknown = [(row, None, "not a user, device, group or contact") for row in result.unknown]
    rejects = pl.concat([first.rejects, pl.DataFrame(unknown, schema=REJECT_SCHEMA, orient="row")]).sort("row")
    first = replace(first, rejects=rejects, warnings=(*first.warnings, *result.warnings))
    return [replace(part, complete=result.complete) for part in (first, *others)]


def _sort_records(pages: Sequence[Page], headers: HeaderAliases) -> _RecordsByKind:
    result = _RecordsByKind({}, [], [])
    names = {kind: names_of(kind, headers) for kind in FAMILIES}
    row = removed = truncated = 0
    for page in pages:
        expected = _match_kind(_CONTEXT, page.context)
        expected = "orgcontact" if expected == _CONTACTS else expected
        if expected:
            result.records.setdefault(expected, ([], []))
        for record in page.records:
            row += 1
            for item in _unwrap(record):
                kind = _kind(item, expected) or _kind_by_names(item, names["user"])
                if isinstance(item, dict) and "@removed" in item:
                    removed += 1
                elif kind is None:
                    result.unknown.append(row)
                else:
                    records, rows = result.records.setdefault(kind, ([], []))
                    records.append(names[kind].apply(item) if kind in names and isinstance(item, dict) else item)
                    rows.append(row)
                    truncated += kind in _EXPANDED and _is_truncated(item)
    has_next_page = bool(pages) and pages[-1].more
    related_to_one = any(_SINGLE_OBJECT.search(page.context) for page in pages)
    result.warnings.extend(_warnings(pages, has_next_page, removed, truncated))
    return result._replace(complete=not (has_next_page or removed or related_to_one))


def _match_kind(pattern: re.Pattern[str], text: object) -> str | None:
    found = pattern.fullmatch(text.lower()) if isinstance(text, str) else None
    return found[1] if found else None


def _unwrap(record: object) -> Iterator[object]:
    """Elastic's collector wraps a user together with its groups."""
    inner = record.get("activedirectory") if isinstance(record, dict) else None
    if not isinstance(inner, dict):
        yield record
        return
    yield inner.get("user") or inner.get("device")
    nested = inner.get("groups")
    yield from nested if isinstance(nested, list) else []


def _kind(record: object, expected: str | None) -> str | None:
    if not isinstance(record, dict):
        return None
    if result := _match_kind(_TYPE, record.get("@odata.type")) or expected:
        return result
    fields = {key.lower() for key in record}
    if fields >= KEY_FIELDS:
        return REPORT
    return next((kind for kind, names in _FIELDS.items() if not fields.isdisjoint(names)), None)


def _kind_by_names(record: object, names: JsonNames) -> str | None:
    """A user whose properties have names of the site."""
    if not isinstance(record, dict) or _FIELDS["user"][0] not in names.apply(record):
        return None
    return "user"


def _is_truncated(record: object) -> bool:
    """Whether Graph may have omitted members or owners of this object."""
    if not isinstance(record, dict):
        return False
    return any(
        (key.lower() in _RELATIONS and isinstance(value, list) and len(value) == _EXPAND_LIMIT)
        or key.lower().endswith(tuple(f"{name}@odata.nextlink" for name in _RELATIONS))
        for key, value in record.items()
    )


def _warnings(pages: Sequence[Page], has_next_page: bool, removed: int, truncated: int) -> Iterator[str]:
    if has_next_page:
        yield "The last page has a link to a next one (@odata.nextLink): the file is incomplete. Fetch all pages."
    if removed:
        yield (
            f"{format_count(removed, 'object')} marked as removed: the file lists changes only. Export the full "
            "listing."
        )
    if any(_RELATED.search(page.context) for page in pages):
        yield "The response lists objects related to one object without naming it: only the records are used."
    if truncated:
        yield (
            f"{format_count(truncated, 'object')} with exactly {_EXPAND_LIMIT} members or owners or a link to more: "
            "Graph truncates expanded lists. Fetch /transitiveMembers, or use the live pull."
        )


def _entry(record: object) -> dict[str, list[str]]:
    """Lower-case attribute → texts, numbers and booleans as texts; other values are dropped."""
    fields: Record = record if isinstance(record, dict) else {}
    entry: dict[str, list[str]] = {}
    for name, value in fields.items():
        texts = [str(item) for item in (value if isinstance(value, list) else [value]) if isinstance(item, str | int)]
        if texts:
            entry[name.lower()] = texts
    return entry
