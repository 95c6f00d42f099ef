"""Objects of all sources → people, mailboxes, groups, contacts and rooms, for one tenant.

Frames have `source` and the columns of `model.py`; objects also `user_id` (text, null if new) and `first_seen_at` from
earlier imports. (source, object_key) is unique.
"""

import polars as pl

from tasks.directory.merge.merge import merge, number_rows
from tasks.directory.merge.merge_rules import EXCLUSIVE, RULES
from tasks.directory.merge.precedence import people_rank
from tasks.directory.merge.references import join_ids
from tasks.directory.merge.stable_ids import entity_ids

MERGED_SCHEMA = pl.Schema(
    {
        "source": pl.String(),
        "object_key": pl.String(),
        "user_id": pl.String(),  # UUID
        "merge_rules": pl.List(pl.String()),  # sorted, the same for all objects of a person
    }
)
PEOPLE_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "display_name": pl.String(),
        "upn": pl.String(),
        "mail": pl.String(),
        "department": pl.String(),
        "job_title": pl.String(),
        "kind": pl.String(),
        "account_enabled": pl.Boolean(),
        "mail_user": pl.Boolean(),  # without a mailbox: a mailbox with the same address has precedence
        "sources": pl.List(pl.String()),
        "merge_rules": pl.List(pl.String()),
    }
)
KINDS_BY_SPECIFICITY = ("room", "shared", "group", "contact", "service", "system", "person", "guest")
"""The most specific first, because most exports only have persons; a guest who is also a member is a person."""

_VALUES = ("display_name", "upn", "mail", "department", "job_title", "account_enabled")
DESCRIPTION_COLUMNS = ("source", "object_key", "user_id", "kind", "user_type", "entra_id", *_VALUES)
"""the columns that `people` reads"""
_MERGED_BY = (
    "source", "object_key", "user_id", "first_seen_at", "kind", "user_type", "upn", "mail", "primary_smtp",
    "employee_id", "sam_account", "domain", "entra_id", "ad_guid", "ad_anchor", "ad_sid", "ad_dn", "onprem_sid",
    "onprem_guid", "onprem_dn", "onprem_domain", "onprem_sam", "onprem_upn",
)  # fmt: skip


def merge_people(objects: pl.DataFrame) -> pl.DataFrame:
    """MERGED_SCHEMA: the person of every object, by the rules of `merge_rules`; earlier ids are kept.

    A new id is derived from the person's strongest identifier (a member's before a guest's) and its kind, so it is
    the same on every site that imports the same export first.
    """
    rows = number_rows(objects.select(_MERGED_BY), "source", "object_key")
    rows = rows.with_columns(pl.col("upn", "domain", "sam_account").str.to_lowercase(), guest=_is_guest())
    rows = rows.with_columns(member_id=pl.when(~pl.col("guest")).then("entra_id"))
    merged = merge(rows, RULES, EXCLUSIVE)
    rows = rows.with_columns(part=merged.parts).rename({"user_id": "earlier_id", "object_key": "key"})
    names = ("ad_sid", "ad_guid", "ad_dn", "upn", "primary_smtp")
    entra_id = pl.coalesce(pl.col("member_id").min(), pl.col("entra_id").min())
    rows = rows.select(
        "node", "part", "source", "key", "earlier_id", "first_seen_at", "guest", "member_id", "entra_id", *names
    )
    ids = entity_ids(rows, {"entra_id": entra_id, **{name: pl.col(name).min() for name in names}})
    with_ids = (
        rows.select("node", "part", "source", "key").join(ids, on="part").join(merged.rules, on="part", how="left")
    )
    no_rules = pl.lit([], pl.List(pl.String))
    result = with_ids.sort("node").select("source", "key", "entity_id", pl.col("merge_rules").fill_null(no_rules))
    return result.rename({"key": "object_key", "entity_id": "user_id"})


def _is_guest() -> pl.Expr:
    """Whether the object is a guest; if its export lacks that, by other exports of the same id."""
    user_type = pl.col("user_type").str.to_lowercase()
    guest = (user_type == "guest").fill_null(pl.col("kind") == "guest")
    member = (user_type == "member").fill_null(value=False)
    of_id = guest.any().over("entra_id") & ~member.any().over("entra_id")
    return pl.when(pl.col("entra_id").is_null()).then(guest).otherwise(of_id)


def people(objects: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """PEOPLE_SCHEMA: one row for each person.

    Each value is the first non-null one: members before guests, then Graph, Entra, Active Directory, others. The kind
    is the most specific one.
    """
    rows = join_ids(objects.select(DESCRIPTION_COLUMNS), merged, "object_key", "user_id").with_columns(
        guest=_is_guest()
    )
    rows = rows.with_columns(
        mail_user=(pl.col("user_type") == "MailUser").fill_null(value=False),
        specific=pl.col("kind").replace_strict(
            {kind: n for n, kind in enumerate(KINDS_BY_SPECIFICITY)}, return_dtype=pl.Int8
        ),
    ).drop("kind", "user_type", "entra_id")
    rows = rows.sort("guest", people_rank(), "source", "object_key").drop("object_key", "guest")
    found = rows.group_by("user_id", maintain_order=True).agg(
        *(pl.col(name).first(ignore_nulls=True) for name in _VALUES),
        pl.col("specific").min(),
        pl.col("mail_user").any(),
        sources=pl.col("source").unique().sort(),
    )
    rules = merged.select("user_id", "merge_rules").unique("user_id")
    found = found.join(rules, on="user_id", how="left")
    kind = pl.col("specific").replace_strict(dict(enumerate(KINDS_BY_SPECIFICITY)), return_dtype=pl.String)
    return found.with_columns(kind=kind).select(PEOPLE_SCHEMA.names()).sort("user_id")
