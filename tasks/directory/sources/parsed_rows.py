"""Frames of a reader → Parsed, the same for every source."""

import polars as pl

from tasks.directory.formats.row_numbers import listed_rows
from tasks.directory.model import DEVICE_SCHEMA, DEVICE_USER_SCHEMA, MEMBER_SCHEMA, OBJECT_SCHEMA, REJECT_SCHEMA, Parsed
from tasks.directory.sources.address_rows import (
    address_rows,
    fit_to_schema,
    object_rows,
    rows_with_invalid_addresses,
)
from tasks.formatting import format_count

INVALID = (
    "{} with a mail address that is not valid, such as one with a blank, and was not used: {}. "
    "Correct it in the directory."
)
NO_PEOPLE = pl.DataFrame(schema=OBJECT_SCHEMA)
NO_DEVICES = pl.DataFrame(schema=DEVICE_SCHEMA)
NO_DEVICE_USERS = pl.DataFrame(schema=DEVICE_USER_SCHEMA)
NO_MEMBERS = pl.DataFrame(schema=MEMBER_SCHEMA)


def parsed_rows(
    source: str,
    family: str,
    *,
    people: pl.DataFrame = NO_PEOPLE,
    devices: pl.DataFrame = NO_DEVICES,
    device_users: pl.DataFrame = NO_DEVICE_USERS,
    members: pl.DataFrame = NO_MEMBERS,
    rejects: list[pl.DataFrame],
    warnings: tuple[str, ...] = (),
    has_aliases: bool = False,
    aliases_lost: bool = False,
) -> Parsed:
    """`people`: columns of OBJECT_SCHEMA and of `address_rows`; a missing column of any frame is null."""
    addresses = address_rows(people)
    invalid = rows_with_invalid_addresses(people)
    if invalid:
        warnings = (*warnings, INVALID.format(format_count(len(invalid), "object"), listed_rows(family, invalid)))
    return Parsed(
        source,
        family,
        objects=object_rows(people, addresses),
        addresses=addresses,
        members=fit_to_schema(members, MEMBER_SCHEMA),
        devices=fit_to_schema(devices, DEVICE_SCHEMA),
        device_users=fit_to_schema(device_users, DEVICE_USER_SCHEMA),
        rejects=fit_to_schema(pl.concat(rejects).sort("row"), REJECT_SCHEMA),
        warnings=warnings,
        has_aliases=has_aliases,
        aliases_lost=aliases_lost,
    )
