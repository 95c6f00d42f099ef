"""Members of mail groups, nested groups included."""

from typing import NamedTuple

import polars as pl

from tasks.directory.merge.precedence import system
from tasks.directory.merge.references import REFERENCE, resolve_references

MAX_DEPTH = 10
"""levels; the group's own members are the first"""
MAX_MEMBERS = 10_000
"""A larger group is nearly everybody: naming its members has no value and costs a row for each."""

EXPANDED_SCHEMA = pl.Schema(
    {
        "group_id": pl.String(),  # user_id of the group
        "user_id": pl.String(),  # never a group
        "depth": pl.Int32(),  # 1: a member of the group itself
        "via": pl.List(pl.String()),  # user_id of the groups between, outermost first
    }
)
WARNING_SCHEMA = pl.Schema(
    {
        "group_id": pl.String(),  # null: a group without an object in any export
        "problem": pl.String(),  # unresolved, too_deep, too_large
        "count": pl.Int64(),  # references, nested groups not expanded, members left out
    }
)


class ExpandedGroups(NamedTuple):
    members: pl.DataFrame
    """EXPANDED_SCHEMA, one row for each group and person, at the smallest depth"""
    warnings: pl.DataFrame
    """WARNING_SCHEMA, one row for each group and problem"""


def expand_groups(
    members: pl.DataFrame, objects: pl.DataFrame, max_depth: int = MAX_DEPTH, max_members: int = MAX_MEMBERS
) -> ExpandedGroups:
    """Who receives mail to a group. A group that contains itself is expanded once.

    `objects`: with their current user_id. A level that could bring a group to more than `max_members` is left out
    with everything below it, because a part of it would mislead.
    """
    groups = objects.filter(pl.col("kind") == "group")["user_id"].unique()
    edges, unresolved = _edges(members, objects)
    edges = edges.with_columns(is_group=pl.col("user_id").is_in(groups.implode()))
    levels, limit_warnings = _levels(edges, max_depth, max_members)
    rows = levels.select(EXPANDED_SCHEMA.names()).cast(EXPANDED_SCHEMA)
    warnings = pl.concat([unresolved, limit_warnings]).cast(WARNING_SCHEMA)
    return ExpandedGroups(rows.sort("group_id", "depth", "user_id"), warnings.sort("group_id", "problem"))


def _edges(members: pl.DataFrame, objects: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """group_id, user_id of every known member; warnings about the others."""
    holders = objects.select("source", group_key="object_key", group_id="user_id")
    references = members.join(holders, on=["source", "group_key"], how="left").with_columns(system=system())
    resolved = references.join(resolve_references(members, objects), on=REFERENCE, how="left")
    known = pl.col("group_id").is_not_null() & pl.col("user_id").is_not_null()
    unknown = resolved.filter(~known).group_by("group_id").len("count")
    return (
        resolved.filter(known).select("group_id", "user_id").unique(),
        unknown.select("group_id", problem=pl.lit("unresolved"), count=pl.col("count").cast(pl.Int64)),
    )


def _levels(edges: pl.DataFrame, max_depth: int, max_members: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """EXPANDED_SCHEMA and WARNING_SCHEMA, level by level; `open_` has the groups to expand next, for each group."""
    sizes = edges.group_by(pl.col("group_id").alias("holder")).len("size")
    none = pl.lit([], pl.List(pl.String))
    open_ = edges.select("group_id").unique().with_columns(holder="group_id", via=none)
    seen = open_.select("group_id", user_id="holder")
    levels = [seen.clear().with_columns(via=none, depth=pl.lit(0))]
    warnings = [pl.DataFrame(schema=WARNING_SCHEMA)]
    for depth in range(1, max_depth + 1):
        if open_.is_empty():
            break
        too_large = _too_large(open_.join(sizes, on="holder"), pl.concat(levels), max_members)
        warnings.append(too_large)
        step = _open_groups(open_.join(too_large, on="group_id", how="anti"), edges).join(
            seen, on=["group_id", "user_id"], how="anti"
        )
        seen = pl.concat([seen, step.select("group_id", "user_id")])
        people = step.filter(~pl.col("is_group"))
        levels.append(people.select("group_id", "user_id", "via", depth=pl.lit(depth)))
        nested = step.filter("is_group").select("group_id", holder="user_id", via="via")
        open_ = nested.with_columns(via=pl.concat_list("via", "holder"))
    deep = open_.join(sizes, on="holder").group_by("group_id").len("count")
    warnings.append(deep.select("group_id", problem=pl.lit("too_deep"), count=pl.col("count").cast(pl.Int64)))
    return pl.concat(levels), pl.concat(warnings)


def _too_large(open_: pl.DataFrame, levels: pl.DataFrame, max_members: int) -> pl.DataFrame:
    """WARNING_SCHEMA: groups that this level could bring above `max_members`."""
    bring = open_.group_by("group_id").agg(pl.col("size").sum().cast(pl.Int64).alias("count"))
    have = levels.group_by("group_id").len("have")
    sums = bring.join(have, on="group_id", how="left").with_columns(pl.col("have").fill_null(0))
    too_large = sums.filter(pl.col("count") + pl.col("have") > max_members)
    return too_large.select("group_id", problem=pl.lit("too_large"), count="count")


def _open_groups(open_: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """group_id, user_id, is_group, via: the members of groups, once each, by the first path in order of id."""
    inside = edges.rename({"group_id": "holder"})
    step = open_.join(inside, on="holder").sort("group_id", "user_id", "holder")
    return step.unique(["group_id", "user_id"], keep="first", maintain_order=True)
