"""CSV exports of people in Entra ID and Exchange: the portal's "Download users", the M365 admin centre's, PowerShell's.

Reference sections 1.1 and 1.5. Each is a source of its own: the portal's file has no aliases and must not remove those
of another export.
"""

import polars as pl

from tasks.directory.formats.csv_fields import CsvFields, split_rejects
from tasks.directory.formats.guid_sid import guid, immutable_guid, sid
from tasks.directory.formats.object_kinds import kind, user_type_of_recipient
from tasks.directory.formats.values import address_key, clean_text, has_date, parse_bool, split_proxies
from tasks.directory.model import Parsed
from tasks.directory.sources.parsed_rows import parsed_rows
from tasks.formatting import format_count

PORTAL = "entra-users", 'Entra "Download users" CSV'
ADMIN_CENTRE = "m365-users", "M365 admin centre users CSV"
POWERSHELL = "entra-powershell", "Entra users by PowerShell CSV (Get-MgUser, Get-EntraUser, Get-AzureADUser)"

EXCHANGE = "exchange-recipients", "Exchange recipients CSV (Get-Mailbox, Get-Recipient)"

_NO_COLUMN = "The file has no column for aliases (proxyAddresses), so recipients cannot be matched by alias. "
_HOW = "Pull from Microsoft Graph, or export with Get-MgUser -All -Property …,ProxyAddresses and join the column."
_HOW_EXCHANGE = (
    "Export with Get-Recipient -ResultSize Unlimited | Select-Object *,@{n='EmailAddresses';"
    "e={$_.EmailAddresses -join ';'}} -ExcludeProperty EmailAddresses."
)
_PLUS = r"(?i)\+\s*((?:smtp|sip|x500|spo|eum)\s*:)"  # the M365 admin centre joins lists by it


def read_entra_users(fields: CsvFields) -> Parsed:
    """People with their addresses. Rows with an invalid id, or without id, UPN and address, are rejects."""
    source, family = _source_of(fields)
    valid, invalid = split_rejects(
        fields.frame,
        pl.col("entra_id").is_not_null() & guid(pl.col("entra_id")).is_null(),
        "entra_id",
        "the object id is not a valid GUID",
    )
    valid, deleted_warnings = split_deleted(valid)
    keyed = _with_keys(valid)
    without_key = pl.col("object_key").is_null()
    keyed, keyless = split_rejects(keyed, without_key, None, "no object id, user principal name or mail address")
    keyed = keyed.unique("object_key", keep="last", maintain_order=True)
    aliases = not keyed.filter(pl.col("proxies").list.len() > 0).is_empty()
    return parsed_rows(
        source,
        family,
        people=keyed,
        rejects=[fields.rejects, invalid, keyless],
        warnings=(
            *fields.warnings,
            *deleted_warnings,
            *_alias_warnings(fields, source, aliases=aliases or keyed.is_empty()),
        ),
        has_aliases=aliases,
        aliases_lost="proxies" in fields.lost,
    )


def _source_of(fields: CsvFields) -> tuple[str, str]:
    """Source and family, by the columns that only one of them has."""
    if "recipient_type" in fields.present:
        return EXCHANGE
    if "blocked" in fields.present:
        return ADMIN_CENTRE
    portal = {
        "entra_id",
        "upn",
        "user_type",
        "account_enabled",
        "other",
    } <= fields.present and "proxies" not in fields.present
    return PORTAL if portal else POWERSHELL


def _with_keys(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and those of `address_rows`."""
    user_type = pl.coalesce("user_type", user_type_of_recipient(pl.col("recipient_type")))
    rows = frame.select(
        "row", "upn", "mail", "department", "job_title", "employee_id", "onprem_domain",
        user_type=user_type,
        entra_id=guid(pl.col("entra_id")),
        display_name=pl.coalesce("display_name", full_name()),
        account_enabled=pl.coalesce(parse_bool(pl.col("account_enabled")), ~parse_bool(pl.col("blocked"))),
        onprem_sid=sid(pl.col("onprem_sid")),
        onprem_guid=immutable_guid(pl.col("onprem_immutable_id")),
        onprem_dn=pl.col("onprem_dn").str.to_lowercase(),
        onprem_sam=pl.col("onprem_sam"),
        onprem_upn=pl.col("onprem_upn"),
        kind=kind(
            upn=pl.col("upn"),
            mail=pl.col("mail"),
            user_type=user_type,
            recipient_type=pl.col("recipient_type"),
        ),
        proxies=split_proxies(pl.col("proxies").str.replace_all(_PLUS, ";${1}")),
        other=split_proxies(pl.col("other")),
    )  # fmt: skip
    return rows.with_columns(
        object_key=pl.coalesce(
            "id:" + pl.col("entra_id"),
            "upn:" + address_key(pl.col("upn")),
            "mail:" + address_key(pl.col("mail")),
        )
    )


def split_deleted(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows without those of deleted objects, and a warning about these."""
    is_deleted = has_date(pl.col("deleted"))
    count = frame.select(is_deleted.sum()).item()
    warnings = [f"{format_count(count, 'deleted object')} skipped."] if count else []
    return frame.filter(~is_deleted), warnings


def full_name() -> pl.Expr:
    return clean_text(pl.concat_str("given_name", "surname", separator=" ", ignore_nulls=True))


def _alias_warnings(fields: CsvFields, source: str, *, aliases: bool) -> list[str]:
    if aliases or "proxies" in fields.lost:  # there is already a warning about the lost column
        return []
    how = _HOW_EXCHANGE if source == EXCHANGE[0] else _HOW
    if "proxies" not in fields.present:
        return [_NO_COLUMN + how]
    return ["The column for aliases (proxyAddresses) is empty in every row. " + how]
