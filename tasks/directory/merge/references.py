"""References to people in exports (ids, names, addresses) → user_id."""

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
_ANYWHERE = "?\\"  # the domain of an account whose export lacks it


def resolve_references(refs: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """system, ref_kind, ref, user_id: the references of `refs` (source, ref_kind, ref) to exactly one person.

    `objects`: with their current user_id. Case is ignored. People of the referring system precede others with the same
    name. The domain in `domain\\account` also matches a DNS name that begins with it, else an account without a known
    domain.
    """
    wanted = _lookup_keys(refs.select("ref_kind", "ref", system=system()).unique())
    rows = objects.with_columns(known_system=system())
    resolved = [wanted.select(*REFERENCE, user_id="key").clear()]
    for (kind,), wanted_of_kind in wanted.group_by("ref_kind"):  # one kind at a time, to save memory
        matches = wanted_of_kind.join(_known_keys(rows, str(kind)), on="key")
        distance = 2 * pl.col("choice") + (pl.col("system") != pl.col("known_system"))
        nearest = matches.filter(distance == distance.min().over("system", "ref"))
        resolved.append(nearest.select(*REFERENCE, "user_id").unique())
    return pl.concat(resolved).filter(pl.len().over(REFERENCE) == 1)


def join_ids(rows: pl.DataFrame, found: pl.DataFrame, key: str, name: str) -> pl.DataFrame:
    """`rows` with the column `name` of `found` (source, `key`, `name`).

    Only the keys are joined, because joining the wide rows themselves would copy all of their columns.
    """
    keys = rows.select("source", key)
    ids = keys.join(found.select("source", key, name), on=["source", key], how="left", maintain_order="left")
    return rows.with_columns(ids[name])


def _lookup_keys(refs: pl.DataFrame) -> pl.DataFrame:
    """REFERENCE, key, choice: the keys to look up, by preference."""
    first = refs.with_columns(key=pl.col("ref").str.strip_chars().str.to_lowercase(), choice=pl.lit(0))
    account = pl.lit(_ANYWHERE) + pl.col("key").str.extract(r"\\([^\\]+)$")
    second = first.filter(pl.col("ref_kind") == "sam").with_columns(key=account, choice=pl.lit(1))
    return pl.concat([first, second]).drop_nulls("key")


def _known_keys(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """key, known_system, user_id: all identifiers of one kind."""
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
