"""Connected components of items that share keys, by joins."""

import polars as pl


def connected_components(links: pl.DataFrame) -> pl.DataFrame:
    """item, label for every item of `links` (item, key): items that share a key, however indirectly, share a label.

    The label is the smallest item of the component, so it does not depend on the order of rows. Each round moves
    every label to the smallest one at any shared key and follows chains of moves to their end, so long chains are fast.
    """
    links = links.select("item", label="item", key=pl.col("key").rank("dense"))
    while True:
        lowest = links.with_columns(low=pl.col("label").min().over("key"))
        moves = lowest.group_by("label").agg(pl.col("low").min())
        if moves["label"].equals(moves["low"]):
            return links.select("item", "label").unique()
        links = links.join(_follow_moves(moves), on="label").select("item", "key", label="low")


def _follow_moves(moves: pl.DataFrame) -> pl.DataFrame:
    """label, low: the end of each chain of moves."""
    while True:
        chained = moves.join(moves, left_on="low", right_on="label", suffix="_next", maintain_order="left")
        if chained["low"].equals(chained["low_next"]):
            return moves
        moves = chained.select("label", low="low_next")
