"""Devices of Entra and Intune from Microsoft Graph → source objects."""

from collections.abc import Mapping, Sequence

import polars as pl

from tasks.directory.formats.guid_sid import guid, sid
from tasks.directory.formats.object_kinds import kind
from tasks.directory.formats.values import address_key, parse_bool, parse_serial_number, parse_timestamp
from tasks.directory.model import DEVICE_USER_SCHEMA, Parsed
from tasks.directory.sources.address_rows import fit_to_schema
from tasks.directory.sources.graph_records import Device, ManagedDevice, Related, User, parse_records
from tasks.directory.sources.graph_users import (
    has_aliases,
    references,
    split_deleted,
    split_rows_without_key,
    user_rows,
)
from tasks.directory.sources.parsed_rows import parsed_rows

NO_USERS_WARNING = (
    "The file does not have the users of the devices. Request `/devices?$expand=registeredUsers` to include them."
)
REGISTERED = ("registered_users", "registered_owners")


def devices(records: Sequence[object], rows: Sequence[int] | None = None) -> Parsed:
    """Source `graph-devices`: devices, and the people who registered them if the records were expanded by them.

    `rows`: numbers of the records in the file, else counted from 1. `physicalIds`, which has the object id of the
    person who registered a device, is for the service's own use and not read.
    """
    parsed = parse_records(records, Device, rows)
    present, deleted_warnings = split_deleted(parsed.frame)
    device_rows, rejects = split_rows_without_key(_devices(present), "device_key", parsed.rejects)
    registered = [parsed.related.get(name, ([], [])) for name in REGISTERED]
    registered_people = [parse_records(people, User, places) for people, places in registered]
    related = [parse_records(people, Related, places) for people, places in registered]
    is_identified = pl.col("upn").is_not_null() | pl.col("mail").is_not_null() | pl.col("proxies").is_not_null()
    people = user_rows(pl.concat([part.frame for part in registered_people])).filter(
        is_identified, pl.col("object_key").is_not_null()
    )
    people = people.unique("object_key", keep="first", maintain_order=True)
    return parsed_rows(
        "graph-devices",
        "Microsoft Graph devices",
        people=people,
        devices=device_rows,
        device_users=_device_users(
            device_rows, {"registered": pl.concat([references(part.frame) for part in related])}
        ),
        rejects=[rejects, *(part.rejects for part in registered_people)],
        warnings=(
            *deleted_warnings,
            *(() if parsed.related or device_rows.is_empty() else (NO_USERS_WARNING,)),
        ),
        has_aliases=has_aliases(people),
    )


def _devices(parsed: pl.DataFrame) -> pl.DataFrame:
    """Columns of DEVICE_SCHEMA. `deviceId` is azureADDeviceId in Intune; `id` is another id of the device."""
    object_id, device_id = pl.col("id").str.to_lowercase(), guid(pl.col("device_id"))
    return parsed.select(
        "row",
        device_key=pl.coalesce("id:" + object_id, "device:" + device_id),
        device_name="display_name",
        os="operating_system",
        os_version="operating_system_version",
        is_compliant=parse_bool(pl.col("is_compliant")),
        is_managed=parse_bool(pl.col("is_managed")),
        entra_device_id=device_id,
        entra_object_id=object_id,
        ad_sid=sid(pl.col("on_premises_security_identifier")),
        last_seen_at=parse_timestamp(pl.col("approximate_last_sign_in_date_time")),
    )


def _device_users(devices: pl.DataFrame, parsed: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """DEVICE_USER_SCHEMA; `parsed`: evidence → row, ref_kind, ref."""
    keys = devices.select("row", "device_key")
    rows = [rows_of_evidence.with_columns(evidence=pl.lit(evidence)) for evidence, rows_of_evidence in parsed.items()]
    linked = pl.concat(rows).join(keys, on="row", maintain_order="left")
    return fit_to_schema(linked, DEVICE_USER_SCHEMA).unique(maintain_order=True)


def managed_devices(records: Sequence[object], rows: Sequence[int] | None = None) -> Parsed:
    """Source `graph-managed-devices`: Intune's devices with their primary users; `rows` as in `devices`."""
    parsed = parse_records(records, ManagedDevice, rows)
    device_rows, rejects = split_rows_without_key(_managed_devices(parsed.frame), "device_key", parsed.rejects)
    sessions, places = parsed.related.get("users_logged_on", ([], []))
    logged_on = parse_records(sessions, Related, places)
    enrolled = parsed.frame.select("row", ref_kind=pl.lit("upn"), ref="enrolled_by_user_principal_name").drop_nulls()
    evidence = {
        "primary_user": references(parsed.frame.with_columns(id=pl.lit(None, pl.String))),
        "logged_on": references(logged_on.frame),
        "enrolled_by": enrolled,
    }
    return parsed_rows(
        "graph-managed-devices",
        "Microsoft Graph managed devices",
        people=_primary_users(parsed.frame),
        devices=device_rows,
        device_users=_device_users(device_rows, evidence),
        rejects=[rejects, logged_on.rejects],
    )


def _managed_devices(parsed: pl.DataFrame) -> pl.DataFrame:
    """Columns of DEVICE_SCHEMA; a device that only Intune knows has the zero GUID as azureADDeviceId."""
    intune_id = pl.col("id").str.to_lowercase()
    return parsed.select(
        "row",
        device_key="id:" + intune_id,
        device_name=pl.coalesce("device_name", "display_name"),
        os="operating_system",
        os_version="os_version",
        is_compliant=parse_bool(pl.col("compliance_state")),
        is_managed=pl.lit(value=True),
        serial_number=parse_serial_number(pl.col("serial_number")),
        entra_device_id=guid(pl.col("azure_ad_device_id")),
        intune_id=intune_id,
        last_seen_at=parse_timestamp(pl.col("last_sync_date_time")),
    )


def _primary_users(parsed: pl.DataFrame) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and of `address_rows`: the primary users by id or UPN.

    `emailAddress` may be another person's: it is ignored where it is another user's UPN.
    """
    upn = pl.col("user_principal_name")
    rows = parsed.select(
        "row",
        object_key=pl.coalesce("id:" + pl.col("user_id").str.to_lowercase(), "upn:" + upn.str.to_lowercase()),
        entra_id=pl.col("user_id").str.to_lowercase(),
        display_name="user_display_name",
        upn=upn,
        kind=kind(upn=upn),
        device=pl.col("email_address").str.split(";"),
    ).drop_nulls("object_key")
    people = rows.group_by("object_key", maintain_order=True).agg(
        pl.col("*").exclude("device", "object_key").first(ignore_nulls=True)
    )
    owners = people.select(other="object_key", key=address_key(pl.col("upn"))).drop_nulls()
    emails = rows.select("object_key", "device").explode("device").with_columns(key=address_key(pl.col("device")))
    of_others = emails.join(owners, on="key").filter(pl.col("object_key") != pl.col("other"))
    own_addresses = emails.drop_nulls().join(of_others, on=["object_key", "key"], how="anti")
    lists = own_addresses.group_by("object_key").agg("device")
    return people.join(lists, on="object_key", how="left", maintain_order="left")
