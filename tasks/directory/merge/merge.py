"""Objects of several sources → parts, the sets of objects of one entity, by rules in order.

A rule yields keys; parts with a common key are joined. Some identifiers are exclusive: a part has at most one of each
kind. Where the joins of one rule would violate that, none of the component's joins by that rule are made, so the result
does not depend on the order of rows or files.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from tasks.directory.merge.connected_components import connected_components


class Rule(NamedTuple):
    name: str
    keys: Callable[[pl.DataFrame], pl.DataFrame]
    """rows (with `node` and the present `part`) → node, key"""


class MergeResult(NamedTuple):
    parts: pl.Series
    """for each row, the smallest `node` of its part"""
    rules: pl.DataFrame
    """part, merge_rules: sorted names of the rules that joined it; without parts of one object"""


def number_rows(rows: pl.DataFrame, *key: str) -> pl.DataFrame:
    """Sorted by `key`, with the row number as `node`, so that the order of the input has no effect."""
    return rows.sort(key).with_row_index("node").with_columns(part="node")


def merge(rows: pl.DataFrame, rules: Sequence[Rule], exclusive: Sequence[tuple[str, ...]]) -> MergeResult:
    """`rows`: from `number_rows`; `exclusive`: for each kind of identifier, its columns."""
    identifiers = _identifier_bounds(rows, exclusive)
    joined = [pl.DataFrame(schema={"part": pl.UInt32, "rule": pl.String})]
    for rule in rules:
        moves = _find_moves(rows.select("node", "part"), rule.keys(rows), identifiers)
        if moves.is_empty():
            continue
        # Joining the wide frame itself would copy all of its columns for each rule.
        moved = rows.select("part").join(moves, left_on="part", right_on="item", how="left", maintain_order="left")
        rows = rows.with_columns(moved.select(pl.coalesce("label", "part").alias("part")).to_series())
        joined.append(moves.select(part="label", rule=pl.lit(rule.name)).unique())
    joined_parts = pl.concat(joined)
    final = rows["part"].gather(joined_parts["part"])
    names = joined_parts.with_columns(part=final).group_by("part").agg(merge_rules=pl.col("rule").unique().sort())
    return MergeResult(rows["part"], names)


def _find_moves(parts: pl.DataFrame, keys: pl.DataFrame, identifiers: pl.DataFrame) -> pl.DataFrame:
    """item, label: parts that join, and their new part."""
    links = keys.drop_nulls("key").join(parts, on="node").select("key", item="part").unique()
    links = links.filter(pl.len().over("key") > 1)
    if links.is_empty():
        return links.select("item", label="item")
    joined_parts = connected_components(links)
    bounds = parts.join(joined_parts, left_on="part", right_on="item").join(identifiers, on="node")
    conflicts = [pl.col(f"low{n}").min() != pl.col(f"high{n}").max() for n in range(len(identifiers.columns) // 2)]
    refused = bounds.group_by("label").agg(refused=pl.any_horizontal(conflicts)).filter("refused")
    return joined_parts.join(refused, on="label", how="anti")


def _identifier_bounds(rows: pl.DataFrame, exclusive: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    """node, low0, high0, low1, …: for each kind, the smallest and largest of the row's identifiers, as numbers."""
    bounds = rows.select("node")
    for n, columns in enumerate(exclusive):
        codes = pl.concat([rows[name].alias("code") for name in columns]).rank("dense")
        numbers = pl.DataFrame([codes.slice(at * len(rows), len(rows)).alias(name) for at, name in enumerate(columns)])
        low, high = pl.min_horizontal(*columns), pl.max_horizontal(*columns)
        bounds = bounds.hstack(numbers.select(low.alias(f"low{n}"), high.alias(f"high{n}")))
    return bounds
