"""People and groups from Microsoft Graph → source objects."""

from collections.abc import Sequence

import polars as pl

from tasks.directory.formats.guid_sid import immutable_guid, sid
from tasks.directory.formats.object_kinds import kind
from tasks.directory.formats.values import address_key, clean_text, has_date, parse_bool
from tasks.directory.model import REJECT_SCHEMA, Parsed
from tasks.directory.sources.address_rows import fit_to_schema
from tasks.directory.sources.graph_records import Group, ParsedRecords, Related, User, parse_records
from tasks.directory.sources.parsed_rows import parsed_rows
from tasks.formatting import format_count

NO_ALIASES = "No record has proxyAddresses, so recipients cannot be matched by alias. Request it with `$select`."
LOST_LISTS_WARNING = (
    "{} with a type name instead of a list (such as System.Object[]), so the lists are lost. "
    "Export with `ConvertTo-Json -Depth 5`."
)
NO_KEY = "no id, user principal name or mail address"
NO_MEMBERS = "The file does not have the members of the groups. Request `/groups?$expand=members` to include them."
DYNAMIC = "{} without members, so mail to them matches no people."


def users(records: Sequence[object], rows: Sequence[int] | None = None) -> Parsed:
    """Source `graph-users`; `rows`: numbers of the records in the file, else counted from 1.

    An unusable record is a reject; of a record that occurs twice, the last one is used.
    """
    return _people("graph-users", "Microsoft Graph users", parse_records(records, User, rows))


def contacts(records: Sequence[object], rows: Sequence[int] | None = None) -> Parsed:
    """Source `graph-contacts`: the organisation's contacts (orgContact); `rows` as in `users`."""
    parsed = parse_records(records, User, rows)
    return _people("graph-contacts", "Microsoft Graph contacts", parsed, kind_of_all="contact")


def _people(source: str, family: str, parsed: ParsedRecords, *, kind_of_all: str | None = None) -> Parsed:
    present, deleted = split_deleted(parsed.frame)
    rows_of_people = user_rows(present)
    if kind_of_all:
        rows_of_people = rows_of_people.with_columns(kind=pl.lit(kind_of_all))
    people, rejects = split_rows_without_key(rows_of_people, "object_key", parsed.rejects, NO_KEY)
    aliases = has_aliases(people)
    return parsed_rows(
        source,
        family,
        people=people,
        rejects=[rejects],
        warnings=(
            *deleted,
            *([] if aliases or people.is_empty() else [NO_ALIASES]),
            *_lost_list_warnings(parsed),
        ),
        has_aliases=aliases,
        aliases_lost=bool(parsed.lost_lists),
    )


def user_rows(parsed: pl.DataFrame) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and of `address_rows`, from the frame of `parse_records(…, User)`.

    userType precedes `#EXT#` in the name; an invitation without userType is a guest's.
    """
    invited = pl.when(pl.col("creation_type").str.to_lowercase() == "invitation").then(pl.lit("Guest"))
    upn, user_type = pl.col("user_principal_name"), pl.coalesce("user_type", invited)
    full_name = clean_text(pl.concat_str("given_name", "surname", separator=" ", ignore_nulls=True))
    return parsed.select(
        "mail", "department", "job_title", "employee_id", "row",
        display_name=pl.coalesce("display_name", full_name),
        object_key=pl.coalesce(
            "id:" + pl.col("id").str.to_lowercase(), "upn:" + address_key(upn), "mail:" + address_key(pl.col("mail"))
        ),
        entra_id=pl.col("id").str.to_lowercase(),
        kind=kind(upn=upn, mail=pl.col("mail"), user_type=user_type),
        upn=upn,
        user_type=user_type,
        account_enabled=parse_bool(pl.col("account_enabled")),
        onprem_sid=sid(pl.col("on_premises_security_identifier")),
        onprem_guid=immutable_guid(pl.col("on_premises_immutable_id")),
        onprem_dn=pl.col("on_premises_distinguished_name").str.to_lowercase(),
        onprem_domain=pl.col("on_premises_domain_name").str.to_lowercase(),
        onprem_sam=pl.col("on_premises_sam_account_name").str.to_lowercase(),
        onprem_upn=pl.col("on_premises_user_principal_name").str.to_lowercase(),
        proxies="proxy_addresses",
        other="other_mails",
    )  # fmt: skip


def split_deleted(parsed: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The records without those that are deleted, which Graph keeps for 30 days, and a warning about these."""
    is_deleted = has_date(pl.col("deleted_date_time"))
    count = parsed.select(is_deleted.sum()).item()
    warnings = [f"{format_count(count, 'deleted object')} (deletedDateTime) skipped."] if count else []
    return parsed.filter(~is_deleted), warnings


def split_rows_without_key(
    rows: pl.DataFrame, key: str, rejects: pl.DataFrame, reason: str = "no id"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The last row of each key, and `rejects` with the rows without one."""
    bad = fit_to_schema(rows.filter(pl.col(key).is_null()).with_columns(reason=pl.lit(reason)), REJECT_SCHEMA)
    good = rows.drop_nulls(key).unique(key, keep="last", maintain_order=True)
    return good, pl.concat([rejects, bad]).sort("row")


def has_aliases(people: pl.DataFrame) -> bool:
    """Whether any record has the property proxyAddresses, even if empty."""
    return bool(people["proxies"].is_not_null().any())


def _lost_list_warnings(parsed: ParsedRecords) -> list[str]:
    return [LOST_LISTS_WARNING.format(format_count(parsed.lost_lists, "record"))] if parsed.lost_lists else []


def groups(records: Sequence[object], rows: Sequence[int] | None = None) -> Parsed:
    """Source `graph-groups`, with members if the records were expanded by them; `rows` as in `users`."""
    parsed = parse_records(records, Group, rows)
    present, deleted_warnings = split_deleted(parsed.frame)
    group_rows, rejects = split_rows_without_key(_groups(present), "object_key", parsed.rejects)
    members = [parse_records(related, Related, places) for related, places in parsed.related.values()]
    not_expanded = parsed.frame.filter(
        ~pl.col("row").is_in([row for _, places in parsed.related.values() for row in places])
    )
    dynamic = not_expanded.filter(pl.col("group_types").list.contains("DynamicMembership")).height
    member_warnings = []
    if not parsed.related and len(group_rows):
        member_warnings = [NO_MEMBERS]
    elif dynamic:
        member_warnings = [DYNAMIC.format(format_count(dynamic, "dynamic group"))]
    return parsed_rows(
        "graph-groups",
        "Microsoft Graph groups",
        people=group_rows,
        members=_members(group_rows, [part.frame for part in members]),
        rejects=[rejects, *(part.rejects for part in members)],
        warnings=(*deleted_warnings, *member_warnings, *_lost_list_warnings(parsed)),
        has_aliases=has_aliases(group_rows),
    )


def _groups(parsed: pl.DataFrame) -> pl.DataFrame:
    return parsed.select(
        "display_name", "mail", "row",
        object_key="id:" + pl.col("id").str.to_lowercase(),
        entra_id=pl.col("id").str.to_lowercase(),
        kind=pl.lit("group"),
        onprem_sid=sid(pl.col("on_premises_security_identifier")),
        onprem_domain=pl.col("on_premises_domain_name").str.to_lowercase(),
        onprem_sam=pl.col("on_premises_sam_account_name").str.to_lowercase(),
        proxies="proxy_addresses",
    )  # fmt: skip


def _members(group_rows: pl.DataFrame, related: list[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat([NO_REFERENCES, *map(references, related)])
    member_rows = rows.join(group_rows.select("row", group_key="object_key"), on="row", maintain_order="left")
    return member_rows.unique(["group_key", "ref_kind", "ref"], maintain_order=True)


NO_REFERENCES = pl.DataFrame(schema={"row": pl.Int64, "ref_kind": pl.String, "ref": pl.String})


def references(related: pl.DataFrame) -> pl.DataFrame:
    """row, ref_kind, ref: by object id, else by UPN; `related`: frame of `parse_records(…, Related)`."""
    entra_id = pl.coalesce("user_id", "id").str.to_lowercase()
    return related.select(
        "row",
        ref_kind=pl.when(entra_id.is_not_null()).then(pl.lit("entra_id")).otherwise(pl.lit("upn")),
        ref=pl.coalesce(entra_id, "user_principal_name"),
    ).drop_nulls("ref")
