"""Ids of people and devices: kept from earlier imports, or derived from the strongest identifier."""

from collections.abc import Mapping

import polars as pl

from tasks.alerts import fingerprint


def entity_ids(rows: pl.DataFrame, strongest: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """part, entity_id for every part of `rows`.

    An earlier id goes to the part with that id's object that was first seen earliest. A part with several takes the
    one first seen earliest, then the smallest, but a member's before one of guests only. A part without any gets one
    derived from the first of `strongest` (kind of identifier → value of a part) that it has, else from its first
    object's source and key. Rows need node, part, source, key, earlier_id, first_seen_at, guest.
    """
    earlier = _earlier_ids(rows.drop_nulls("earlier_id"))
    others = rows.join(earlier, on="part", how="anti").sort("node")
    values = others.group_by("part", maintain_order=True).agg(
        pl.col("source", "key").first(), *(value.alias(f"of_{kind}") for kind, value in strongest.items())
    )
    kinds = [pl.when(pl.col(f"of_{kind}").is_not_null()).then(pl.lit(kind)) for kind in strongest]
    strongest_ids = values.select(
        "part",
        "source",
        "key",
        kind=pl.coalesce(*kinds, pl.lit("object")),
        value=pl.coalesce(*(f"of_{kind}" for kind in strongest), fingerprint([pl.col("source"), pl.col("key")])),
    )
    return pl.concat([earlier, _new_ids(strongest_ids, rows["earlier_id"].drop_nulls().unique())])


def _earlier_ids(rows: pl.DataFrame) -> pl.DataFrame:
    candidates = (
        rows.sort("first_seen_at", "node", nulls_last=True)
        .group_by("earlier_id", "part", maintain_order=True)
        .agg(pl.col("first_seen_at", "node").first(), pl.col("guest").all())
    )
    owners = candidates.sort("first_seen_at", "node", nulls_last=True).unique(
        "earlier_id", keep="first", maintain_order=True
    )
    first = owners.sort("guest", "first_seen_at", "earlier_id", nulls_last=True)
    return first.unique("part", keep="first", maintain_order=True).select("part", entity_id="earlier_id")


def _new_ids(strongest_ids: pl.DataFrame, taken: pl.Series) -> pl.DataFrame:
    """Unused ids; a part that shares its identifier with another one also uses its first object's key."""
    parts = [pl.col("kind"), pl.col("value")]
    rows = strongest_ids.with_columns(entity_id=as_uuid(fingerprint(parts)))
    clash = pl.col("entity_id").is_duplicated() | pl.col("entity_id").is_in(taken.implode())
    attempt = 0
    while rows.select(clash.any()).item():
        attempt += 1
        other = as_uuid(fingerprint([*parts, pl.col("source"), pl.col("key"), pl.lit(attempt)]))
        rows = rows.with_columns(entity_id=pl.when(clash).then(other).otherwise("entity_id"))
    return rows.select("part", "entity_id")


def as_uuid(digits: pl.Expr) -> pl.Expr:
    """32 hex digits with a UUID's dashes."""
    sections = [(0, 8), (8, 4), (12, 4), (16, 4), (20, 12)]
    return pl.concat_str([digits.str.slice(at, length) for at, length in sections], separator="-")
