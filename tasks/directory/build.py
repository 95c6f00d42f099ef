"""All sources of a tenant → its people, addresses, devices and groups."""

from datetime import datetime
from typing import NamedTuple

import polars as pl

from tasks.correlation import Directory
from tasks.directory import devices as machines
from tasks.directory import members as groups
from tasks.directory import people as persons
from tasks.directory.model import Parsed
from tasks.directory.references import with_ids
from tasks.directory.snapshot import next_facts, next_objects

REFERRED = (
    "entra_id", "ad_guid", "onprem_guid", "ad_sid", "onprem_sid", "ad_dn", "onprem_dn", "upn", "onprem_upn",
    "primary_smtp", "mail", "display_name", "domain", "sam_account", "onprem_domain", "onprem_sam",
)  # fmt: skip
"""Columns by which exports refer to people: the others would only be copied along."""

LIFE = ("first_seen_at", "seen_at", "gone_at")

OWN_RULES = ("primary", "alias", "mail", "upn")
FOREIGN_KINDS = ("guest", "contact")
"""Addresses by these rules make a domain one of the tenant's own, unless they belong to a guest or a contact."""


class Sources(NamedTuple):
    """What all sources of a tenant say, each frame with `source` first; columns of the source_… tables."""

    objects: pl.DataFrame
    addresses: pl.DataFrame
    members: pl.DataFrame
    devices: pl.DataFrame
    device_users: pl.DataFrame


class Built(NamedTuple):
    """What is made of them; columns of the tables of the same names."""

    people: pl.DataFrame
    addresses: pl.DataFrame
    devices: pl.DataFrame
    device_people: pl.DataFrame
    group_people: pl.DataFrame
    own_domains: pl.DataFrame
    warnings: tuple[str, ...]

    def lookup(self, sources: pl.DataFrame, snapshots: pl.DataFrame) -> Directory:
        """What recipients are looked up in; `sources` and `snapshots` as in Directory."""
        return Directory(self.addresses, self.people, sources, snapshots, self.own_domains["domain"])


def imported(stored: dict[str, pl.DataFrame], parsed: list[Parsed], at: datetime) -> Sources:
    """The sources after complete imports: each one that `parsed` names is a new snapshot, the others stay.

    Takes the frames of `stored` (by field of Sources) out of it, so that each is freed as soon as it is used.
    """
    names = sorted({each.source for each in parsed})
    renewed = []
    for field in Sources._fields:
        frame = stored.pop(field)
        told = {name: pl.concat([getattr(each, field) for each in parsed if each.source == name]) for name in names}
        others = frame.filter(~pl.col("source").is_in(names))
        renewed.append(pl.concat([others, *(_renewed(frame, field, name, seen, at) for name, seen in told.items())]))
    return Sources(*renewed)


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


def build(sources: Sources) -> tuple[Sources, Built]:
    """Merge the sources; they come back with the ids of persons and devices that their rows belong to."""
    merged = persons.merge_people(sources.objects)
    joined = machines.merge_devices(sources.devices)
    sources = sources._replace(
        objects=with_ids(sources.objects, merged, "object_key", "user_id"),
        devices=with_ids(sources.devices, joined, "device_key", "device_id"),
    )
    ids = merged.select("source", "object_key", "user_id")
    addresses = sources.addresses.join(ids, on=["source", "object_key"]).drop("object_key").unique(maintain_order=True)
    members = sources.members.filter(pl.col("gone_at").is_null())
    placed = sources.objects.select("source", "object_key", "user_id", "kind", *REFERRED)
    ties = machines.device_people(sources.device_users, joined, placed)  # first: of all steps it needs most memory
    expanded = groups.expand_groups(members, placed)
    people = _people(sources, merged)
    built = Built(
        people,
        addresses,
        _devices(sources, joined),
        ties,
        expanded.members.drop("via"),
        _own_domains(addresses, people),
        _warnings(expanded.warnings),
    )
    return sources, built


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


def _people(sources: Sources, merged: pl.DataFrame) -> pl.DataFrame:
    """Who is still there is described by what is still there."""
    rows = sources.objects.select(*persons.TOLD, *LIFE)
    lives = rows.group_by("user_id").agg(
        pl.col("first_seen_at").min(),
        last_seen_at=pl.col("seen_at").max(),
        gone_at=pl.when(pl.col("gone_at").is_not_null().all()).then(pl.col("gone_at").max()),
    )
    present = pl.col("gone_at").is_null()
    current = rows.filter(present | present.any().over("user_id").not_())
    return persons.people(current, merged).join(lives, on="user_id", how="left")


def _devices(sources: Sources, joined: pl.DataFrame) -> pl.DataFrame:
    rows = sources.devices.select(*machines.TOLD, "gone_at")
    lives = rows.group_by("device_id").agg(
        gone_at=pl.when(pl.col("gone_at").is_not_null().all()).then(pl.col("gone_at").max())
    )
    present = pl.col("gone_at").is_null()
    current = rows.filter(present | present.any().over("device_id").not_())
    return machines.devices(current, joined).join(lives, on="device_id", how="left")
