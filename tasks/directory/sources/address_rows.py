"""Objects with addresses in columns → one row for each address, by rank."""

from collections.abc import Sequence

import polars as pl

from tasks.directory.formats.values import address_key, guest_address, invalid_addresses, proxy_rows
from tasks.directory.model import ADDRESS_RULES, ADDRESS_SCHEMA, OBJECT_SCHEMA

COLUMNS = {
    "aliases": "alias", "mails": "mail", "routing": "routing", "other": "other", "device": "device", "mail": "mail",
    "upn": "upn",
}  # fmt: skip
"""Column → rule; all but the last two are lists."""
NOT_ADDRESSES = ("device", "upn")
"""Columns whose values need not be addresses."""


def address_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """ADDRESS_SCHEMA: each address of an object with its best rank.

    `rows`: object_key and any of `proxies`, `aliases`, `mails`, `routing`, `other`, `device` (lists of texts), `mail`,
    `upn` (texts). The address in a guest's name is a guess, so it is used only if `mail` is null.
    """
    frames = [pl.DataFrame(schema=ADDRESS_SCHEMA)]
    if "proxies" in rows.columns:
        frames.append(proxy_rows(rows))
    for column, rule in COLUMNS.items():
        if column in rows.columns:
            values = rows.select("object_key", text=column)
            texts = values.explode("text") if values.schema["text"] == pl.List(pl.String) else values
            frames.append(_addresses_by_rule(texts, rule, address_key(pl.col("text"))))
    if {"mail", "upn"} <= set(rows.columns):
        guests = rows.filter(pl.col("mail").is_null())
        frames.append(_addresses_by_rule(guests, "guest", guest_address(pl.col("upn"))))
    ranked = pl.concat(frames).sort("rank", maintain_order=True)
    return ranked.unique(["object_key", "address"], keep="first", maintain_order=True)


def rows_with_invalid_addresses(rows: pl.DataFrame) -> list[int]:
    """`row` of the objects with a value that should be an address and is none, such as a mail with a blank in it."""
    columns = [name for name in ("proxies", *COLUMNS) if name in rows.columns and name not in NOT_ADDRESSES]
    texts = [rows.select("row", text=name) for name in columns]
    texts = [text.explode("text") if isinstance(text.schema["text"], pl.List) else text for text in texts]
    return pl.concat([invalid_addresses(text)["row"] for text in texts]).unique().sort().to_list() if texts else []


def _addresses_by_rule(rows: pl.DataFrame, rule: str, address: pl.Expr) -> pl.DataFrame:
    """`routing` values have a prefix (`SMTP:…`), which `address_key` removes."""
    values = rows.select("object_key", address=address).drop_nulls()
    return values.with_columns(rank=pl.lit(ADDRESS_RULES[rule], pl.Int8), rule=pl.lit(rule))


def object_rows(rows: pl.DataFrame, addresses: pl.DataFrame) -> pl.DataFrame:
    """OBJECT_SCHEMA from any of its columns; `primary_smtp` comes from `addresses`, else `mail`."""
    primary = addresses.filter(pl.col("rule") == "primary").select("object_key", primary_smtp="address")
    full = rows.drop("primary_smtp", strict=False).join(primary, on="object_key", how="left", maintain_order="left")
    full = fit_to_schema(full, OBJECT_SCHEMA)
    return full.with_columns(pl.coalesce("primary_smtp", address_key(pl.col("mail"))))


def fit_to_schema(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """With exactly the columns of `schema`; missing ones are null."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in schema.items()
    )


def list_series(values: Sequence[Sequence[str | None] | None]) -> pl.Series:
    """A List(String) column. Given lists, polars creates a series for each of them, at ten times the cost."""
    if all(value is None for value in values):
        return pl.repeat(None, len(values), dtype=pl.List(pl.String), eager=True)
    indexes = [index for index, value in enumerate(values) if value is not None for _ in range(len(value) + 1)]
    # A null before the values of each list preserves empty lists.
    texts = [text for value in values if value is not None for text in (None, *value)]
    flat = pl.DataFrame({"place": indexes, "text": texts}, schema={"place": pl.Int64, "text": pl.String})
    lists = flat.group_by("place", maintain_order=True).agg(pl.col("text").slice(1))
    every = pl.DataFrame({"place": pl.int_range(len(values), eager=True)})
    return every.join(lists, on="place", how="left", maintain_order="left")["text"]
