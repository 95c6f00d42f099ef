"""Directories of any size, and how long they take: `python -m tests.directory.synthetic 200000`."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
from rich.console import Console

from tasks.alerts import MOMENT
from tasks.directory.merge.devices import device_people, devices, merge_devices
from tasks.directory.merge.members import expand_groups
from tasks.directory.merge.people import merge_people, people
from tasks.directory.merge.references import join_ids
from tasks.directory.model import (
    ADDRESS_SCHEMA,
    DEVICE_SCHEMA,
    DEVICE_USER_SCHEMA,
    MEMBER_SCHEMA,
    OBJECT_SCHEMA,
)

SEEN = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = {"source": pl.String()}
OBJECTS = pl.Schema({**SOURCE, **OBJECT_SCHEMA, "user_id": pl.String(), "first_seen_at": MOMENT})
ADDRESSES = pl.Schema({**SOURCE, **ADDRESS_SCHEMA})
MEMBERS = pl.Schema({**SOURCE, **MEMBER_SCHEMA})
DEVICES = pl.Schema({**SOURCE, **DEVICE_SCHEMA, "device_id": pl.String(), "first_seen_at": MOMENT})
DEVICE_USERS = pl.Schema({**SOURCE, **DEVICE_USER_SCHEMA, "valid_from": MOMENT, "gone_at": MOMENT})

GROUP_SIZE = 50


class Directory(NamedTuple):
    """The frames of a tenant, every source together."""

    objects: pl.DataFrame
    addresses: pl.DataFrame
    members: pl.DataFrame
    devices: pl.DataFrame
    device_users: pl.DataFrame


def filled(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """`rows` with every column of `schema`, null where not given."""
    missing = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in rows.columns]
    return rows.with_columns(missing).select(schema.names()).cast(dict(schema))


def synthetic(n: int) -> Directory:
    """`n` people in Entra (Graph) and Active Directory, most of them in both, with 2.5 addresses and 1.5 devices each.

    Person number i has the addresses `user-i@contoso.example` (primary, Entra and AD) and `u-i@contoso.example` (alias,
    Entra); every second one `i@alt.contoso.example` (alias, AD). Every fiftieth heads a group of fifty.
    """
    i = pl.DataFrame({"i": pl.int_range(n, eager=True)})
    entra, ad, groups = _entra(i), _ad(i), _groups(i.filter(pl.col("i") % GROUP_SIZE == 0))
    objects = pl.concat([filled(frame, OBJECTS) for frame in (entra, ad, groups)])
    return Directory(objects, _addresses(i), _members(i), _devices(i), _device_users(i))


def _guid(kind: int, number: pl.Expr) -> pl.Expr:
    return pl.format(f"{kind:08x}-0000-4000-8000-{{}}", number.cast(pl.String).str.zfill(12))


def _upn(i: pl.Expr) -> pl.Expr:
    return pl.format("user-{}@contoso.example", i)


def _entra(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    return rows.select(
        source=pl.lit("graph-users"),
        object_key="id:" + _guid(1, i),
        kind=pl.lit("person"),
        display_name=pl.format("Person {}", i),
        upn=_upn(i),
        mail=_upn(i),
        department=pl.format("Department {}", i % 100),
        user_type=pl.lit("Member"),
        account_enabled=pl.lit(value=True),
        primary_smtp=_upn(i),
        entra_id=_guid(1, i),
        # a tenth of the people for each merge rule
        onprem_sid=pl.when(i % 10 < 7).then(pl.format("S-1-5-21-1-2-3-{}", i)),
        onprem_guid=pl.when(i % 10 < 8).then(_guid(2, i)),
        onprem_upn=pl.when(i % 10 < 9).then(_upn(i)),
        first_seen_at=pl.lit(SEEN, MOMENT),
        row=i + 1,
    )


def _ad(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    return rows.select(
        source=pl.lit("ad-users"),
        object_key=pl.format("sid:S-1-5-21-1-2-3-{}", i),
        kind=pl.lit("person"),
        display_name=pl.format("Person {}", i),
        upn=_upn(i),
        mail=_upn(i),
        primary_smtp=_upn(i),
        sam_account=pl.format("user{}", i),
        domain=pl.lit("contoso"),
        ad_guid=_guid(2, i),
        ad_sid=pl.format("S-1-5-21-1-2-3-{}", i),
        ad_dn=pl.format("cn=person {},ou=staff,dc=contoso,dc=example", i),
        first_seen_at=pl.lit(SEEN, MOMENT),
        row=i + 1,
    )


def _groups(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    return rows.select(
        source=pl.lit("graph-groups"),
        object_key="id:" + _guid(3, i),
        kind=pl.lit("group"),
        display_name=pl.format("Group {}", i),
        primary_smtp=pl.format("group-{}@contoso.example", i),
        entra_id=_guid(3, i),
        first_seen_at=pl.lit(SEEN, MOMENT),
    )


def _addresses(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    entra, ad = ("id:" + _guid(1, i)), pl.format("sid:S-1-5-21-1-2-3-{}", i)
    rows = [
        ("graph-users", entra, _upn(i), "primary", 1),
        ("graph-users", entra, pl.format("u-{}@contoso.example", i), "alias", 2),
        ("ad-users", ad, _upn(i), "primary", 1),
        ("ad-users", ad, pl.when(i % 2 == 0).then(pl.format("{}@alt.contoso.example", i)), "alias", 2),
    ]
    tables = [
        rows.select(source=pl.lit(source), object_key=key, address=address, rank=pl.lit(rank), rule=pl.lit(rule))
        for source, key, address, rule, rank in rows
    ]
    return pl.concat(tables).drop_nulls("address").select(ADDRESSES.names()).cast(dict(ADDRESSES))


def _members(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    group = "id:" + _guid(3, i // GROUP_SIZE * GROUP_SIZE)
    return rows.select(source=pl.lit("graph-groups"), group_key=group, ref_kind=pl.lit("entra_id"), ref=_guid(1, i))


def _devices(rows: pl.DataFrame) -> pl.DataFrame:
    """Everybody's PC, in Intune, Entra and Active Directory; every second one's phone, in Intune alone."""
    i = pl.col("i")
    pc = {
        "device_name": pl.format("PC-{}", i),
        "os": pl.lit("Windows"),
        "last_seen_at": pl.lit(SEEN, MOMENT),
        "first_seen_at": pl.lit(SEEN, MOMENT),
    }
    ids = {"entra_device_id": _guid(4, i)}
    intune = rows.select(
        source=pl.lit("intune-devices"), device_key="id:" + _guid(5, i), intune_id=_guid(5, i), **ids, **pc
    )
    entra = rows.select(source=pl.lit("graph-devices"), device_key="id:" + _guid(4, i), **ids, **pc)
    ad = rows.select(source=pl.lit("ad-computers"), device_key=pl.format("dn:cn=pc-{}", i), **pc)
    phones = rows.filter(i % 2 == 0).select(
        source=pl.lit("intune-devices"),
        device_key="id:" + _guid(6, i),
        device_name=pl.lit("iPhone"),
        os=pl.lit("iOS"),
        serial_number=pl.format("F{}", i),
        intune_id=_guid(6, i),
        first_seen_at=pl.lit(SEEN, MOMENT),
    )
    return pl.concat([filled(frame, DEVICES) for frame in (intune, entra, ad, phones)])


def _device_users(rows: pl.DataFrame) -> pl.DataFrame:
    i = pl.col("i")
    rows = [
        (rows, "intune-devices", 5, "primary_user", "upn", _upn(i)),
        (rows, "graph-devices", 4, "registered", "entra_id", _guid(1, i)),
        (rows.filter(i % 2 == 0), "intune-devices", 6, "primary_user", "upn", _upn(i)),
    ]
    tables = [
        people.select(
            source=pl.lit(source),
            device_key="id:" + _guid(device, i),
            evidence=pl.lit(evidence),
            ref_kind=pl.lit(kind),
            ref=ref,
        )
        for people, source, device, evidence, kind, ref in rows
    ]
    return filled(pl.concat(tables).with_columns(valid_from=pl.lit(SEEN, MOMENT)), DEVICE_USERS)


def main(n: int) -> None:
    """Print how long each step takes for `n` people."""
    data = synthetic(n)
    out = Console(highlight=False)
    out.print(f"{len(data.objects):,} objects, {len(data.addresses):,} addresses, {len(data.devices):,} device records")
    start = time.perf_counter()
    merged = merge_people(data.objects)
    merged_at = time.perf_counter()
    objects = join_ids(data.objects, merged, "object_key", "user_id")
    merged_devices = merge_devices(data.devices)
    devices_at = time.perf_counter()
    steps: dict[str, Callable[[], object]] = {
        "people": lambda: people(data.objects, merged),
        "expand_groups": lambda: expand_groups(data.members, objects),
        "devices": lambda: devices(data.devices, merged_devices),
        "device_people": lambda: device_people(data.device_users, merged_devices, objects),
    }
    spent = {"merge_people": merged_at - start, "merge_devices": devices_at - merged_at}
    for name, step in steps.items():
        began = time.perf_counter()
        step()
        spent[name] = time.perf_counter() - began
    for name, seconds in spent.items():
        out.print(f"{name:<14} {seconds:6.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
