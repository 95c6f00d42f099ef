"""Devices of all sources → devices and their users, for one tenant.

Frames have `source` and the columns of `model.py`; devices also `device_id` (text, null if new) and `first_seen_at`
from earlier imports. (source, device_key) is unique.
"""

from collections.abc import Callable

import polars as pl

from tasks.alerts import MOMENT
from tasks.directory.merge.merge import Rule, merge, number_rows
from tasks.directory.merge.precedence import device_rank, system
from tasks.directory.merge.references import REFERENCE, join_ids, resolve_references
from tasks.directory.merge.stable_ids import entity_ids
from tasks.directory.model import EVIDENCE

DEVICES_SCHEMA = pl.Schema(
    {
        "device_id": pl.String(),
        "device_name": pl.String(),
        "os": pl.String(),
        "os_version": pl.String(),
        "is_compliant": pl.Boolean(),
        "is_managed": pl.Boolean(),
        "serial_number": pl.String(),
        "last_seen_at": MOMENT,  # the latest of all sources
        "sources": pl.List(pl.String()),  # sorted
    }
)
EXCLUSIVE = (("entra_device_id",), ("ad_sid",), ("ad_guid",))
"""A device has at most one of each kind, so a device registered again or a shared serial number joins nothing."""

_VALUES = ("device_name", "os", "os_version", "is_compliant", "is_managed", "serial_number")
_MERGED_BY = (
    "source", "device_key", "device_id", "first_seen_at", "entra_device_id", "entra_object_id", "intune_id", "ad_sid",
    "ad_guid", "serial_number", "device_name", "dns_name",
)  # fmt: skip
DESCRIPTION_COLUMNS = ("source", "device_key", "device_id", "last_seen_at", *_VALUES)


def _same(column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.select("node", key=pl.col(column).str.to_lowercase()).drop_nulls()


def _device_id(rows: pl.DataFrame) -> pl.DataFrame:
    """`deviceId`, which for a computer synchronised from Active Directory is its objectGUID there."""
    return pl.concat([_same("entra_device_id")(rows), _same("ad_guid")(rows)])


def _host_name(rows: pl.DataFrame) -> pl.DataFrame:
    """The host name, from sources in which only one device has it."""
    name = pl.coalesce("dns_name", "device_name").str.to_lowercase().str.extract(r"^\s*([^.\s]+)")
    named = rows.select("node", "part", "source", key=name).drop_nulls("key")
    return named.filter(pl.col("part").n_unique().over("source", "key") == 1).select("node", "key")


RULES = (
    Rule("device_id", _device_id),
    Rule("id", _same("entra_object_id")),
    Rule("id", _same("intune_id")),
    Rule("sid", _same("ad_sid")),
    Rule("serial", _same("serial_number")),
    Rule("name", _host_name),
)


def merge_devices(devices: pl.DataFrame) -> pl.DataFrame:
    """source, device_key, device_id: joined by `deviceId`, then serial number, then host name; earlier ids are kept."""
    rows = number_rows(devices.select(_MERGED_BY), "source", "device_key")
    rows = rows.with_columns(part=merge(rows, RULES, EXCLUSIVE).parts, guest=pl.lit(value=False))
    rows = rows.rename({"device_id": "earlier_id", "device_key": "key"})
    strongest = ("entra_device_id", "entra_object_id", "intune_id", "ad_sid", "serial_number")
    ids = entity_ids(rows, {name: pl.col(name).min() for name in strongest})
    done = rows.join(ids, on="part").sort("node")
    return done.select("source", device_key="key", device_id="entity_id")


def devices(devices: pl.DataFrame, merged_devices: pl.DataFrame) -> pl.DataFrame:
    """DEVICES_SCHEMA: one row for each device. Each value is the first one of Intune, Entra, then other sources."""
    rows = join_ids(devices.select(DESCRIPTION_COLUMNS), merged_devices, "device_key", "device_id")
    merged = (
        rows.sort(device_rank(), "source", "device_key")
        .group_by("device_id", maintain_order=True)
        .agg(
            *(pl.col(name).first(ignore_nulls=True) for name in _VALUES),
            pl.col("last_seen_at").max(),
            sources=pl.col("source").unique().sort(),
        )
    )
    return merged.select(DEVICES_SCHEMA.names()).sort("device_id")


def device_people(device_users: pl.DataFrame, merged_devices: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """device_id, user_id, evidence, rank, valid_from, gone_at: every link between a device and a person.

    `objects`: with their current user_id. A computer managed by a group has no user.
    """
    groups = objects.filter(pl.col("kind") == "group").select("user_id").unique()
    links = device_users.with_columns(system=system()).join(merged_devices, on=["source", "device_key"])
    resolved = links.join(resolve_references(device_users, objects), on=REFERENCE).join(
        groups, on="user_id", how="anti"
    )
    rank = pl.col("evidence").replace_strict(EVIDENCE, return_dtype=pl.Int8)
    people = resolved.select("device_id", "user_id", "evidence", rank.alias("rank"), "valid_from", "gone_at").unique()
    return people.sort("device_id", "rank", "user_id")
