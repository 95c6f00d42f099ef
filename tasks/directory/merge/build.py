"""All sources of a tenant → its people, addresses, groups and devices."""

from collections.abc import Callable, Iterable
from datetime import datetime

import polars as pl

from tasks.directory.match.correlation import Directory
from tasks.directory.merge import devices as machines
from tasks.directory.merge import members as groups
from tasks.directory.merge import people as persons
from tasks.directory.merge.references import with_ids
from tasks.directory.merge.snapshot import next_facts, next_objects
from tasks.scratch import FrameCache

REFERRED = (
    "entra_id", "ad_guid", "onprem_guid", "ad_sid", "onprem_sid", "ad_dn", "onprem_dn", "upn", "onprem_upn",
    "primary_smtp", "mail", "display_name", "domain", "sam_account", "onprem_domain", "onprem_sam",
)  # fmt: skip
"""Columns by which exports refer to people: the others would only be copied along."""

LIFE = ("first_seen_at", "seen_at", "gone_at")

OWN_RULES = ("primary", "alias", "mail", "upn")
FOREIGN_KINDS = ("guest", "contact")
"""Addresses by these rules make a domain one of the tenant's own, unless they belong to a guest or a contact."""


MADE = ("people", "addresses", "devices", "device_people", "group_people", "own_domains")
"""What is made of it: tables."""

Read = Callable[[str], pl.DataFrame]
"""field of SOURCES → what all sources of a tenant say"""


def renewed(stored: pl.DataFrame, field: str, told: Iterable[tuple[str, pl.DataFrame]], at: datetime) -> pl.DataFrame:
    """One field of all sources after complete imports: each source in `told` is a new snapshot, the others stay."""
    fresh = {name: _renewed(stored, field, name, seen, at) for name, seen in told}
    return pl.concat([stored.filter(~pl.col("source").is_in(list(fresh))), *fresh.values()])


def _renewed(frame: pl.DataFrame, field: str, source: str, seen: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The rows of one source, and what it said before, after a complete import."""
    stored = frame.filter(pl.col("source") == source)
    seen = seen.rename({"row": "row_no"}, strict=False).with_columns(source=pl.lit(source))
    if field in ("objects", "devices"):
        key = "object_key" if field == "objects" else "device_key"
        if seen[key].is_duplicated().any():
            seen = seen.unique(key, keep="first", maintain_order=True)
        following = next_objects(stored, seen, key, at)
    else:
        following = next_facts(stored, seen, at)
    return following.select(frame.columns)


def build(read: Read, made: FrameCache) -> tuple[str, ...]:
    """Merge what the sources say and put every table on the shelf; what was found out about mail groups.

    One kind of thing after the other, and each frame only as long as it is needed: all of them together are several
    times as large as the largest.
    """
    _people(read, made)
    _addresses(read, made)
    found = _groups(read, made)
    _devices(read, made)
    return found


def lookup(made: FrameCache, sources: pl.DataFrame, snapshots: pl.DataFrame) -> Directory:
    """What recipients are looked up in; `sources` and `snapshots` as in Directory."""
    people = made.get("people", "user_id", "kind", "account_enabled", "mail_user", "last_seen_at")
    return Directory(made.get("addresses"), people, sources, snapshots, made.get("own_domains")["domain"])


def _people(read: Read, made: FrameCache) -> None:
    """Who is still there is described by what is still there."""
    objects = read("objects")
    merged = persons.merge_people(objects)
    made.put("source_objects", with_ids(objects, merged, "object_key", "user_id"))
    del objects
    rows = made.get("source_objects", *persons.TOLD, *LIFE)
    lives = rows.group_by("user_id").agg(
        pl.col("first_seen_at").min(), _gone_at(), last_seen_at=pl.col("seen_at").max()
    )
    made.put("people", persons.people(_current(rows, "user_id"), merged).join(lives, on="user_id", how="left"))


def _addresses(read: Read, made: FrameCache) -> None:
    told = read("addresses")
    made.put("source_addresses", told)
    ids = made.get("source_objects", "source", "object_key", "user_id")
    addresses = told.join(ids, on=["source", "object_key"]).drop("object_key").unique(maintain_order=True)
    made.put("addresses", addresses)
    made.put("own_domains", _own_domains(addresses, made.get("people", "user_id", "kind")))


def _groups(read: Read, made: FrameCache) -> tuple[str, ...]:
    told = read("members")
    made.put("source_members", told)
    expanded = groups.expand_groups(told.filter(pl.col("gone_at").is_null()), _placed(made))
    made.put("group_people", expanded.members.drop("via"))
    return _warnings(expanded.warnings)


def _devices(read: Read, made: FrameCache) -> None:
    devices = read("devices")
    joined = machines.merge_devices(devices)
    made.put("source_devices", with_ids(devices, joined, "device_key", "device_id"))
    del devices
    rows = made.get("source_devices", *machines.TOLD, "gone_at")
    lives = rows.group_by("device_id").agg(_gone_at())
    made.put("devices", machines.devices(_current(rows, "device_id"), joined).join(lives, on="device_id", how="left"))
    del rows
    told = read("device_users")
    made.put("source_device_users", told)
    made.put("device_people", machines.device_people(told, joined, _placed(made)))


def _placed(made: FrameCache) -> pl.DataFrame:
    """Objects with the person that each is, by all that exports call people."""
    return made.get("source_objects", "source", "object_key", "user_id", "kind", *REFERRED)


def _gone_at() -> pl.Expr:
    """Gone is what all that say it have lost, and since the last one did."""
    return pl.when(pl.col("gone_at").is_not_null().all()).then(pl.col("gone_at").max()).alias("gone_at")


def _current(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Of what is still there, the rows that are; all of the others."""
    present = pl.col("gone_at").is_null()
    return rows.filter(present | present.any().over(key).not_())


def _own_domains(addresses: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    own = people.filter(~pl.col("kind").is_in(FOREIGN_KINDS)).select("user_id")
    current = addresses.filter(pl.col("rule").is_in(OWN_RULES), pl.col("gone_at").is_null()).join(own, on="user_id")
    return current.select(pl.col("address").str.extract(r"@([^@]*)$").alias("domain")).unique().drop_nulls()


def _warnings(found: pl.DataFrame) -> tuple[str, ...]:
    """What was found out about mail groups, in sentences."""
    says = {
        "unresolved": "{} members of mail groups are in no import: they are not told as concerned.",
        "too_deep": "{} nested mail groups lie too deep and were not opened.",
        "too_large": "{} members were left out: their mail groups are too large to name everybody.",
    }
    counts = found.group_by("problem").agg(pl.col("count").sum()).sort("problem").rows()
    return tuple(says[problem].format(count) for problem, count in counts)
