"""What exports call people (ids, names, addresses) → the people."""

import polars as pl

from tasks.directory.merge.precedence import system

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


def resolve_references(refs: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """system, ref_kind, ref, user_id: the references of `refs` (source, ref_kind, ref) that name exactly one person.

    `placed`: objects with the person that each is now. Case does not matter. People of the system that speaks come
    before others of the same name. `domain\\account` also means the domain whose DNS name begins so, else an account of
    which no domain is known.
    """
    wanted = _lookup_keys(refs.select("ref_kind", "ref", system=system()).unique())
    rows = objects.with_columns(known_system=system())
    resolved = [wanted.select(*REFERENCE, user_id="key").clear()]
    for (kind,), wanted_of_kind in wanted.group_by("ref_kind"):  # one kind after the other: their names are many
        matches = wanted_of_kind.join(_known_keys(rows, str(kind)), on="key")
        distance = 2 * pl.col("choice") + (pl.col("system") != pl.col("known_system"))
        nearest = matches.filter(distance == distance.min().over("system", "ref"))
        resolved.append(nearest.select(*REFERENCE, "user_id").unique())
    return pl.concat(resolved).filter(pl.len().over(REFERENCE) == 1)


def join_ids(rows: pl.DataFrame, resolved: pl.DataFrame, key: str, name: str) -> pl.DataFrame:
    """`rows` with the `name` that `found` (source, `key`, `name`) has for each.

    Only the keys are joined: joining the wide rows themselves would copy every column of them.
    """
    keys = rows.select("source", key)
    ids = keys.join(resolved.select("source", key, name), on=["source", key], how="left", maintain_order="left")
    return rows.with_columns(ids[name])


def _lookup_keys(refs: pl.DataFrame) -> pl.DataFrame:
    """REFERENCE, key, choice: what to look up, in order."""
    first = refs.with_columns(key=pl.col("ref").str.strip_chars().str.to_lowercase(), choice=pl.lit(0))
    account = pl.lit(_ANYWHERE) + pl.col("key").str.extract(r"\\([^\\]+)$")
    second = first.filter(pl.col("ref_kind") == "sam").with_columns(key=account, choice=pl.lit(1))
    return pl.concat([first, second]).drop_nulls("key")


def _known_keys(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """key, known_system, user_id: everything of one kind that people are called."""
    if kind == "sam":
        keys = [key for domain, account in _ACCOUNTS for key in _account_keys(domain, account)]
    else:
        keys = [pl.col(name).str.strip_chars().str.to_lowercase() for name in _COLUMNS[kind]]
    tables = [rows.select("known_system", "user_id", key=key).drop_nulls("key") for key in keys]
    return pl.concat(tables).unique()


def _account_keys(domain: str, account: str) -> list[pl.Expr]:
    where, name = (pl.col(column).str.to_lowercase() for column in (domain, account))
    unknown = pl.when(where.is_null()).then(pl.lit(_ANYWHERE) + name)
    return [name, where + "\\" + name, where.str.extract(r"^([^.]+)\.") + "\\" + name, unknown]
