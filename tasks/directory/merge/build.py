"""All sources of a tenant → its people, addresses, groups and devices."""

from collections.abc import Callable, Iterable
from datetime import datetime

import polars as pl

from tasks.directory.match.correlation import Directory
from tasks.directory.merge import devices, members, people
from tasks.directory.merge.references import join_ids
from tasks.directory.merge.snapshot import next_facts, next_objects
from tasks.formatting import format_count
from tasks.scratch import FrameCache

REFERENCE_COLUMNS = (
    "entra_id", "ad_guid", "onprem_guid", "ad_sid", "onprem_sid", "ad_dn", "onprem_dn", "upn", "onprem_upn",
    "primary_smtp", "mail", "display_name", "domain", "sam_account", "onprem_domain", "onprem_sam",
)  # fmt: skip
"""Columns by which exports refer to people; loading the others would only cost memory."""

LIFETIME = ("first_seen_at", "seen_at", "gone_at")

OWN_RULES = ("primary", "alias", "mail", "upn")
FOREIGN_KINDS = ("guest", "contact")
"""Addresses with these rules make a domain the tenant's own, unless they belong to a guest or contact."""


DERIVED_TABLES = ("people", "addresses", "devices", "device_people", "group_people", "own_domains")
"""Tables that `build` derives."""

Read = Callable[[str], pl.DataFrame]
"""field of SNAPSHOT_FRAMES → the rows of all sources of a tenant"""


def apply_snapshots(
    stored: pl.DataFrame, field: str, snapshots: Iterable[tuple[str, pl.DataFrame]], at: datetime
) -> pl.DataFrame:
    """One field of all sources after imports: `snapshots` has the new snapshots by source, other sources stay."""
    replaced = {name: _apply_snapshot(stored, field, name, seen, at) for name, seen in snapshots}
    return pl.concat([stored.filter(~pl.col("source").is_in(list(replaced))), *replaced.values()])


def _apply_snapshot(frame: pl.DataFrame, field: str, source: str, seen: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The rows of one source after the import of a new snapshot."""
    stored = frame.filter(pl.col("source") == source)
    seen = seen.rename({"row": "row_no"}, strict=False).with_columns(source=pl.lit(source))
    if field in ("objects", "devices"):
        key = "object_key" if field == "objects" else "device_key"
        if seen[key].is_duplicated().any():
            seen = seen.unique(key, keep="first", maintain_order=True)
        next_rows = next_objects(stored, seen, key, at)
    else:
        next_rows = next_facts(stored, seen, at)
    return next_rows.select(frame.columns)


def build(read: Read, tables: FrameCache) -> tuple[str, ...]:
    """Merge the sources and put every table into the cache; returns warnings about mail groups.

    One table after another, and each frame only as long as needed: together they are several times as large as the
    largest.
    """
    _build_people(read, tables)
    _build_addresses(read, tables)
    found = _build_groups(read, tables)
    _build_devices(read, tables)
    return found


def load_directory(tables: FrameCache, sources: pl.DataFrame, snapshots: pl.DataFrame) -> Directory:
    """`sources` and `snapshots` as in Directory."""
    present = tables.get("people", "user_id", "kind", "account_enabled", "mail_user", "last_seen_at")
    return Directory(tables.get("addresses"), present, sources, snapshots, tables.get("own_domains")["domain"])


def _build_people(read: Read, tables: FrameCache) -> None:
    """Values come from current objects if the person has any."""
    objects = read("objects")
    merged = people.merge_people(objects)
    tables.put("source_objects", join_ids(objects, merged, "object_key", "user_id"))
    del objects
    rows = tables.get("source_objects", *people.DESCRIPTION_COLUMNS, *LIFETIME)
    lives = rows.group_by("user_id").agg(
        pl.col("first_seen_at").min(), _gone_at(), last_seen_at=pl.col("seen_at").max()
    )
    tables.put("people", people.people(_current_rows(rows, "user_id"), merged).join(lives, on="user_id", how="left"))


def _build_addresses(read: Read, tables: FrameCache) -> None:
    source_addresses = read("addresses")
    tables.put("source_addresses", source_addresses)
    ids = tables.get("source_objects", "source", "object_key", "user_id")
    addresses = source_addresses.join(ids, on=["source", "object_key"]).drop("object_key").unique(maintain_order=True)
    tables.put("addresses", addresses)
    tables.put("own_domains", _own_domains(addresses, tables.get("people", "user_id", "kind")))


def _build_groups(read: Read, tables: FrameCache) -> tuple[str, ...]:
    source_members = read("members")
    tables.put("source_members", source_members)
    expanded = members.expand_groups(source_members.filter(pl.col("gone_at").is_null()), _objects_with_people(tables))
    tables.put("group_people", expanded.members.drop("via"))
    return _member_warnings(expanded.warnings)


def _build_devices(read: Read, tables: FrameCache) -> None:
    source_devices = read("devices")
    joined = devices.merge_devices(source_devices)
    tables.put("source_devices", join_ids(source_devices, joined, "device_key", "device_id"))
    del source_devices
    rows = tables.get("source_devices", *devices.DESCRIPTION_COLUMNS, "gone_at")
    lives = rows.group_by("device_id").agg(_gone_at())
    tables.put(
        "devices", devices.devices(_current_rows(rows, "device_id"), joined).join(lives, on="device_id", how="left")
    )
    del rows
    source_links = read("device_users")
    tables.put("source_device_users", source_links)
    tables.put("device_people", devices.device_people(source_links, joined, _objects_with_people(tables)))


def _objects_with_people(tables: FrameCache) -> pl.DataFrame:
    """Objects with their user_id and the columns by which exports refer to them."""
    return tables.get("source_objects", "source", "object_key", "user_id", "kind", *REFERENCE_COLUMNS)


def _gone_at() -> pl.Expr:
    """Gone if all sources lost it, since the last of them did."""
    return pl.when(pl.col("gone_at").is_not_null().all()).then(pl.col("gone_at").max()).alias("gone_at")


def _current_rows(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """The current rows of entities that have any, and all rows of the others."""
    present = pl.col("gone_at").is_null()
    return rows.filter(present | present.any().over(key).not_())


def _own_domains(addresses: pl.DataFrame, kinds: pl.DataFrame) -> pl.DataFrame:
    own = kinds.filter(~pl.col("kind").is_in(FOREIGN_KINDS)).select("user_id")
    current = addresses.filter(pl.col("rule").is_in(OWN_RULES), pl.col("gone_at").is_null()).join(own, on="user_id")
    return current.select(pl.col("address").str.extract(r"@([^@]*)$").alias("domain")).unique().drop_nulls()


def _member_warnings(problems: pl.DataFrame) -> tuple[str, ...]:
    """`problems`: WARNING_SCHEMA."""
    texts = {
        "unresolved": ("member", "of mail groups not found in any import: alerts do not name them."),
        "too_deep": ("nested mail group", "not expanded: nested too deeply."),
        "too_large": ("member", "left out: the mail groups are too large."),
    }
    counts = problems.group_by("problem").agg(pl.col("count").sum()).sort("problem").rows()
    return tuple(f"{format_count(count, texts[problem][0])} {texts[problem][1]}" for problem, count in counts)
