"""Alerts → groups. Pure functions on frames.

The partition is a function of the alerts alone; ids have a history, and `assign_ids` contains all of its rules.
"""

from datetime import timedelta
from typing import NamedTuple

import polars as pl

from tasks.alerts import fingerprint


class GroupAssignment(NamedTuple):
    """Members with their groups, and the changes of IDs."""

    members: pl.DataFrame
    """the members given, group_id being the new one, old_group_id the former (null: not stored before)"""
    created: pl.DataFrame
    """group_id, created_no: ids given for the first time"""
    ended: pl.DataFrame
    """group_id, current_group_id: IDs that no group has any more, and the group that replaced them"""


def group_key(group_by: str) -> pl.Expr:
    """Key of an alert's groups: tenant and hash, by setting also priority and response.

    Without a usable hash the key is message id and file name, else the alert itself. Nothing crosses tenants.
    """
    mail = pl.col("message_id").is_not_null() & pl.col("file_name").is_not_null()
    kind = pl.when(pl.col("file_sha256").is_not_null()).then(pl.lit("hash")).when(mail).then(pl.lit("mail"))
    one = pl.coalesce("file_sha256", pl.when(mail).then("message_id"), "scan_id")
    other = pl.when(pl.col("file_sha256").is_null() & mail).then("file_name")
    also = [pl.col(name) for name in group_by.split("+")[1:]]
    return fingerprint([pl.col("tenant"), kind.otherwise(pl.lit("alert")), one, other, *also])


def partition(members: pl.DataFrame, gap: timedelta, span: timedelta) -> pl.DataFrame:
    """Add `part`, the number of each alert's group: sweep each key in (detected_at, alert_id) order.

    An alert starts a new group when it is more than `gap` after its predecessor or more than `span` after the group's
    first; exactly at a limit still joins, a limit of zero is off. Needs group_key, detected_at, alert_id.
    """
    rows = members.sort("group_key", "detected_at", "alert_id")
    starts = pl.col("group_key").ne_missing(pl.col("group_key").shift())
    if gap:
        starts = starts | (pl.col("detected_at").diff() > gap)
    rows = rows.with_columns(run=starts.cum_sum())
    rows = rows.with_columns(head=pl.col("detected_at").min().over("run"))
    if span:
        rows = _split_long(rows, span)
    return rows.with_columns(part=pl.struct("run", "head").rle_id()).drop("run", "head")


def _split_long(rows: pl.DataFrame, span: timedelta) -> pl.DataFrame:
    """Move `head` on for rows more than `span` behind it: each round finds the next group of every run at once."""
    beyond = pl.col("detected_at") - pl.col("head") > span
    while rows.select(beyond.any()).item():
        following = pl.col("detected_at").filter(beyond).min().over("run")
        rows = rows.with_columns(head=pl.when(beyond).then(following).otherwise("head"))
    return rows


def assign_ids(members: pl.DataFrame, known: pl.DataFrame, next_no: int) -> GroupAssignment:
    """Give each part its group id.

    An old ID goes to the part that holds the earliest-loaded of its former members. A part that receives more than one
    takes the oldest, and the others end. One that receives none is named after its earliest-loaded member, or gets a
    new ID if that one was used before. Needs alert_id, part, load_no, group_id (null: new); `known`: group_id,
    created_no of every ID
    ever given among them; `next_no`: the first free created_no.
    """
    rows = members.rename({"group_id": "old_group_id"})
    claims = (
        rows.drop_nulls("old_group_id")
        .sort("load_no")
        .group_by("old_group_id", maintain_order=True)
        .agg(pl.col("part").first())
        .join(known.rename({"group_id": "old_group_id"}), on="old_group_id")
        .sort("created_no")
        .with_columns(group_id=pl.col("old_group_id").first().over("part"))
    )
    retained = claims.select("part", "group_id").unique()
    ended = claims.filter(pl.col("old_group_id") != pl.col("group_id"))
    created = _assign_new_ids(rows.join(retained, on="part", how="anti"), known, next_no)
    named = pl.concat([retained, created.select("part", "group_id")])
    return GroupAssignment(
        rows.join(named, on="part", how="left"),
        created.select("group_id", "created_no"),
        ended.select(pl.col("old_group_id").alias("group_id"), pl.col("group_id").alias("current_group_id")),
    )


def _assign_new_ids(rows: pl.DataFrame, known: pl.DataFrame, next_no: int) -> pl.DataFrame:
    """part, group_id, created_no for parts that received no id. created_no makes a fresh id unique for ever."""
    first = rows.sort("load_no").group_by("part", maintain_order=True).agg(pl.col("alert_id").first())
    first = first.with_row_index("created_no", offset=next_no).with_columns(pl.col("created_no").cast(pl.Int64))
    used = pl.col("alert_id").is_in(known["group_id"].implode())
    fresh = fingerprint([pl.col("alert_id"), pl.col("created_no")])
    return first.with_columns(group_id=pl.when(used).then(fresh).otherwise("alert_id"))
