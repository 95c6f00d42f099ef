"""What exports call people (ids, names, addresses) → the people."""

from collections.abc import Sequence

import polars as pl

from tasks.directory.precedence import system

REFERENCE = ("system", "ref_kind", "ref")

_COLUMNS = {
    "entra_id": ("entra_id",),
    "ad_guid": ("ad_guid", "onprem_guid"),
    "ad_sid": ("ad_sid", "onprem_sid"),
    "ad_dn": ("ad_dn", "onprem_dn"),
    "upn": ("upn", "onprem_upn"),
    "address": ("primary_smtp", "mail"),
    "name": ("display_name",),
}
_ACCOUNTS = (("domain", "sam_account"), ("onprem_domain", "onprem_sam"))
_ANYWHERE = "?\\"  # stands for the domain of an account whose export does not tell it


def resolve(refs: pl.DataFrame, objects: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """system, ref_kind, ref, user_id: the references of `refs` (source, ref_kind, ref) that name exactly one person.

    Case does not matter. People of the system that speaks come before others of the same name. `domain\\account` also
    means the domain whose DNS name begins so, else an account of which no domain is known.
    """
    wanted = _wanted(refs.select("ref_kind", "ref", system=system()).unique())
    rows = with_people(objects, merged).with_columns(known_system=system())
    known = _known(rows, wanted["ref_kind"].unique().to_list())
    found = wanted.join(known, on=["ref_kind", "key"])
    distance = 2 * pl.col("choice") + (pl.col("system") != pl.col("known_system"))
    nearest = found.filter(distance == distance.min().over(REFERENCE))
    once = nearest.select(*REFERENCE, "user_id").unique()
    return once.filter(pl.len().over(REFERENCE) == 1)


def with_people(objects: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """`objects` with the present `user_id` and the `merge_rules` of its person."""
    return objects.drop("user_id").join(merged, on=["source", "object_key"])


def _wanted(refs: pl.DataFrame) -> pl.DataFrame:
    """REFERENCE, key, choice: what to look up, in order."""
    first = refs.with_columns(key=pl.col("ref").str.strip_chars().str.to_lowercase(), choice=pl.lit(0))
    account = pl.lit(_ANYWHERE) + pl.col("key").str.extract(r"\\([^\\]+)$")
    second = first.filter(pl.col("ref_kind") == "sam").with_columns(key=account, choice=pl.lit(1))
    return pl.concat([first, second]).drop_nulls("key")


def _known(rows: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """ref_kind, key, known_system, user_id: everything that people are called."""
    keys = [
        (kind, pl.col(name).str.strip_chars().str.to_lowercase()) for kind in kinds for name in _COLUMNS.get(kind, ())
    ]
    if "sam" in kinds:
        keys += [("sam", key) for domain, account in _ACCOUNTS for key in _account_keys(domain, account)]
    tables = [
        rows.select(ref_kind=pl.lit(kind), key=key, known_system="known_system", user_id="user_id")
        for kind, key in keys
    ]
    empty = pl.DataFrame(schema=dict.fromkeys(("ref_kind", "key", "known_system", "user_id"), pl.String))
    return pl.concat([empty, *tables]).drop_nulls("key").unique()


def _account_keys(domain: str, account: str) -> list[pl.Expr]:
    where, name = (pl.col(column).str.to_lowercase() for column in (domain, account))
    unknown = pl.when(where.is_null()).then(pl.lit(_ANYWHERE) + name)
    return [name, where + "\\" + name, where.str.extract(r"^([^.]+)\.") + "\\" + name, unknown]
