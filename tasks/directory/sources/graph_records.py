"""Objects of Microsoft Graph as typed records and frames.

Property names are case-insensitive: PowerShell's ConvertTo-Json writes `UserPrincipalName`.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import polars as pl

from tasks.directory.formats.values import clean_text, is_type_name
from tasks.directory.model import REJECT_SCHEMA
from tasks.directory.sources.address_rows import list_series

Record = dict[str, Any]

Text = str | None
Flag = bool | str | None
Texts = list[str | None] | str | None
Records = list[Record] | None


def _without_underscores(name: str) -> str:
    return name.replace("_", "")


class GraphObject(msgspec.Struct, rename=_without_underscores):
    id: Text = None
    display_name: Text = None
    deleted_date_time: Text = None


class User(GraphObject):
    user_principal_name: Text = None
    mail: Text = None
    proxy_addresses: Texts = None
    other_mails: Texts = None
    given_name: Text = None
    surname: Text = None
    user_type: Text = None
    creation_type: Text = None
    account_enabled: Flag = None
    department: Text = None
    job_title: Text = None
    employee_id: Text = None
    on_premises_sam_account_name: Text = None
    on_premises_domain_name: Text = None
    on_premises_user_principal_name: Text = None
    on_premises_distinguished_name: Text = None
    on_premises_security_identifier: Text = None
    on_premises_immutable_id: Text = None


class Device(GraphObject):
    device_id: Text = None
    operating_system: Text = None
    operating_system_version: Text = None
    is_compliant: Flag = None
    is_managed: Flag = None
    approximate_last_sign_in_date_time: Text = None
    on_premises_security_identifier: Text = None
    registered_users: Records = None
    registered_owners: Records = None


class ManagedDevice(GraphObject):
    device_name: Text = None
    user_id: Text = None
    user_principal_name: Text = None
    email_address: Text = None
    user_display_name: Text = None
    azure_ad_device_id: Text = None
    serial_number: Text = None
    operating_system: Text = None
    os_version: Text = None
    compliance_state: Text = None
    last_sync_date_time: Text = None
    enrolled_by_user_principal_name: Text = None
    users_logged_on: Records = None


class Group(GraphObject):
    mail: Text = None
    proxy_addresses: Texts = None
    group_types: Texts = None
    on_premises_sam_account_name: Text = None
    on_premises_domain_name: Text = None
    on_premises_security_identifier: Text = None
    members: Records = None
    transitive_members: Records = None
    member_changes: Records = msgspec.field(default=None, name="members@delta")


class Related(msgspec.Struct, rename=_without_underscores):
    """An object in a relation of another one: a member, or one of `usersLoggedOn`."""

    id: Text = None
    user_id: Text = None
    user_principal_name: Text = None


class ParsedRecords(NamedTuple):
    frame: pl.DataFrame
    """`row` and the fields of the type as texts or lists of texts"""
    related: dict[str, tuple[list[Record], list[int]]]
    """relation → its objects and the row of the record of each; only relations that occur"""
    rejects: pl.DataFrame
    """REJECT_SCHEMA"""
    lost_lists: int
    """number of records with a type name instead of a list"""


_LISTS = frozenset({"proxy_addresses", "other_mails", "group_types"})
_NAME_IN_PATH = re.compile(r"^`\$\.?([^.\[`]*).*$", re.DOTALL)
_RELATIONS = (
    "registered_users",
    "registered_owners",
    "users_logged_on",
    "members",
    "transitive_members",
    "member_changes",
)


def parse_records(
    records: Sequence[object], kind: type[msgspec.Struct], rows: Sequence[int] | None = None
) -> ParsedRecords:
    """One by one, so that a value of a wrong type rejects only its record. `rows`: else counted from 1."""
    valid: list[msgspec.Struct] = []
    valid_rows: list[int] = []
    invalid: list[tuple[int, str | None, str]] = []
    for row, record in zip(rows or range(1, len(records) + 1), records, strict=True):
        try:
            valid.append(msgspec.convert(_lower_keys(record), kind))
            valid_rows.append(row)
        except msgspec.ValidationError as wrong:
            reason, _, path = str(wrong).partition(" - at ")
            invalid.append((row, _NAME_IN_PATH.sub(r"\1", path) or None, reason))
    frame = _frame(valid, valid_rows, kind)
    lists = [pl.col(name).list.eval(is_type_name(pl.element())).list.any() for name in frame.columns if name in _LISTS]
    lost_lists = frame.select(pl.any_horizontal(*lists, pl.lit(value=False)).sum()).item() if len(frame) else 0
    return ParsedRecords(
        frame, _related(valid, valid_rows, kind), pl.DataFrame(invalid, schema=REJECT_SCHEMA, orient="row"), lost_lists
    )


def _lower_keys(record: object) -> object:
    return {key.lower(): value for key, value in record.items()} if isinstance(record, dict) else record


def _frame(valid: Sequence[msgspec.Struct], rows: list[int], kind: type[msgspec.Struct]) -> pl.DataFrame:
    columns = {"row": pl.Series(rows, dtype=pl.Int64)}
    for name in kind.__struct_fields__:
        values = [getattr(record, name) for record in valid]
        if name in _LISTS:
            columns[name] = list_series([[value] if isinstance(value, str) else value for value in values])
        elif name not in _RELATIONS:
            columns[name] = pl.Series([_as_text(value) for value in values], dtype=pl.String)
    return pl.DataFrame(columns).with_columns(clean_text(pl.col(pl.String)))


def _as_text(value: str | bool | None) -> str | None:
    return str(value) if isinstance(value, bool) else value


def _related(
    valid: Sequence[msgspec.Struct], rows: list[int], kind: type[msgspec.Struct]
) -> dict[str, tuple[list[Record], list[int]]]:
    """Without objects that a delta response marks as removed."""
    related: dict[str, tuple[list[Record], list[int]]] = {}
    for name in (name for name in _RELATIONS if name in kind.__struct_fields__):
        values_by_row = [(row, getattr(record, name)) for row, record in zip(rows, valid, strict=True)]
        pairs = [(row, value) for row, values in values_by_row for value in values or () if "@removed" not in value]
        if any(values is not None for _, values in values_by_row):
            related[name] = ([value for _, value in pairs], [row for row, _ in pairs])
    return related
