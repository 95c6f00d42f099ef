"""Parsed exports built without a reader, for tests of imports and matching."""

import hashlib
from typing import Any

import polars as pl

from tasks.directory.export import Export
from tasks.directory.model import (
    ADDRESS_RULES,
    ADDRESS_SCHEMA,
    DEVICE_SCHEMA,
    DEVICE_USER_SCHEMA,
    MEMBER_SCHEMA,
    OBJECT_SCHEMA,
    Parsed,
)

Row = dict[str, Any]


def person(name: str, *aliases: str, kind: str = "person", **fields: Any) -> tuple[Row, list[Row]]:
    """An object with its Entra id, and its addresses: the first is the primary one."""
    mail = f"{name}@contoso.example"
    key = f"id:{name}"
    entity = {
        "object_key": key, "kind": kind, "display_name": name.title(), "upn": mail, "mail": mail, "primary_smtp": mail,
        "account_enabled": True, "entra_id": f"{int(hashlib.sha256(name.encode()).hexdigest()[:8], 16):032x}", "row": 1,
    } | fields  # fmt: skip
    rules = [(mail, "primary"), *((alias, "alias") for alias in aliases)]
    return entity, [
        {"object_key": key, "address": address, "rank": ADDRESS_RULES[rule], "rule": rule} for address, rule in rules
    ]


def device(name: str, owner: str, evidence: str = "primary_user") -> tuple[Row, Row]:
    """A device and whose it is."""
    serial = f"S-{name}"
    return (
        {"device_key": f"serial:{serial}", "device_name": name, "serial_number": serial, "os": "Windows", "row": 1},
        {"device_key": f"serial:{serial}", "evidence": evidence, "ref_kind": "upn", "ref": f"{owner}@contoso.example"},
    )


def users(*people: tuple[Row, list[Row]], members: list[tuple[str, str]] | None = None, **fields: Any) -> Export:
    """An export of people; `members`: group and member by name."""
    parsed = Parsed(
        "graph-users",
        "users of a test",
        objects=pl.DataFrame([entity for entity, _ in people], OBJECT_SCHEMA),
        addresses=pl.DataFrame([row for _, rows in people for row in rows], ADDRESS_SCHEMA),
        members=pl.DataFrame(
            [
                {"group_key": f"id:{group}", "ref_kind": "upn", "ref": f"{member}@contoso.example"}
                for group, member in members or []
            ],
            MEMBER_SCHEMA,
        ),
        **fields,
    )
    return Export("users.json", digest(parsed), parsed)


def devices(*pairs: tuple[Row, Row]) -> Export:
    """An export of devices."""
    parsed = Parsed(
        "graph-managed-devices",
        "devices of a test",
        devices=pl.DataFrame([machine for machine, _ in pairs], DEVICE_SCHEMA),
        device_users=pl.DataFrame([link for _, link in pairs], DEVICE_USER_SCHEMA),
    )
    return Export("devices.json", digest(parsed), parsed)


def digest(parsed: Parsed) -> str:
    frames = (parsed.objects, parsed.addresses, parsed.members, parsed.devices, parsed.device_users)
    return hashlib.sha256("".join(frame.write_json() for frame in frames).encode()).hexdigest()
