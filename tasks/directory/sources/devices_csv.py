"""CSV exports of devices and their users: Entra, Intune, ConfigMgr."""

import polars as pl

from tasks.directory.formats.csv_fields import CsvFields, split_rejects
from tasks.directory.formats.guid_sid import guid
from tasks.directory.formats.object_kinds import kind
from tasks.directory.formats.values import address_key, parse_bool, parse_serial_number, parse_timestamp
from tasks.directory.model import Parsed
from tasks.directory.sources.parsed_rows import parsed_rows

_NO_ID = "no id or name of the device"
_ACCOUNT = r"^[^\\\s@]+\\[^\\]+$"


def read_entra_devices(fields: CsvFields) -> Parsed:
    """Devices and the people who registered them."""
    frame, rejects = _split_invalid_ids(fields, "entra_device_id", "entra_object_id")
    ids = {name: guid(pl.col(name)) for name in ("entra_device_id", "entra_object_id")}
    key = pl.coalesce("id:" + ids["entra_object_id"], "device:" + ids["entra_device_id"], _name_key())
    frame, without_key = split_rejects(frame.with_columns(device_key=key), key.is_null(), None, _NO_ID)
    frame = frame.unique("device_key", keep="last", maintain_order=True)
    devices = frame.select(
        "device_key", "device_name", "os", "os_version", "row",
        is_compliant=parse_bool(pl.col("is_compliant")),
        is_managed=parse_bool(pl.col("is_managed")),
        last_seen_at=parse_timestamp(pl.col("last_seen")),
        **ids,
    )  # fmt: skip
    return parsed_rows(
        "entra-devices",
        'Entra "Download devices" CSV',
        devices=devices,
        device_users=_registered_users(frame),
        rejects=[rejects, without_key],
        warnings=fields.warnings,
    )


def _registered_users(frame: pl.DataFrame) -> pl.DataFrame:
    """Who registered each device. The content is undocumented: ids, UPNs or names, one or several.

    A name is used only without an id or UPN, because two people may have it.
    """
    cell = pl.concat_str("owners", "user_names", separator=";", ignore_nulls=True)
    parts = frame.select("device_key", ref=cell.str.split(";")).explode("ref")
    # `Vance, Adele` is one name, `a@x.example, b@x.example` are two people: both readings are tried.
    both = pl.concat_list(pl.concat_list("ref"), pl.col("ref").str.split(","))
    readings = parts.drop_nulls().with_columns(ref=both).explode("ref")
    references = readings.select(
        "device_key",
        pl.coalesce(guid(pl.col("ref")), address_key(pl.col("ref")), pl.col("ref").str.strip_chars()).alias("ref"),
        ref_kind=pl.when(guid(pl.col("ref")).is_not_null()).then(pl.lit("entra_id"))
        .when(address_key(pl.col("ref")).is_not_null()).then(pl.lit("upn"))
        .when(~pl.col("ref").str.contains("@", literal=True)).then(pl.lit("name")),
        evidence=pl.lit("registered"),
    ).drop_nulls().filter(pl.col("ref") != "")  # fmt: skip
    has_id = (pl.col("ref_kind") != "name").any().over("device_key")
    references = references.filter(~has_id | (pl.col("ref_kind") != "name"))
    return references.unique(maintain_order=True)


def read_intune_devices(fields: CsvFields) -> Parsed:
    """Devices, their users by evidence, and the primary users themselves."""
    frame, rejects = _split_invalid_ids(fields, "intune_id", "entra_device_id", "user_id")
    ids = {name: guid(pl.col(name)) for name in ("intune_id", "entra_device_id")}
    key = pl.coalesce("id:" + ids["intune_id"], "device:" + ids["entra_device_id"])
    frame, without_key = split_rejects(frame.with_columns(device_key=key), key.is_null(), None, "no id of the device")
    frame = frame.unique("device_key", keep="last", maintain_order=True)
    devices = frame.select(
        "device_key", "device_name", "os", "os_version", "row",
        is_compliant=parse_bool(pl.col("is_compliant")),
        is_managed=pl.coalesce(
            parse_bool(pl.col("is_managed")), pl.when(pl.col("managed_by").is_not_null()).then(True)
        ),
        serial_number=parse_serial_number(pl.col("serial")),
        last_seen_at=parse_timestamp(pl.col("last_seen")),
        **ids,
    )  # fmt: skip
    return parsed_rows(
        "intune-devices",
        "Intune devices CSV",
        people=_primary_users(frame),
        devices=devices,
        device_users=_intune_users(frame),
        rejects=[rejects, without_key],
        warnings=fields.warnings,
    )


def _primary_users(frame: pl.DataFrame) -> pl.DataFrame:
    """One row for each primary user. The address belongs to the device and may be another person's."""
    user_id, upn = guid(pl.col("user_id")), address_key(pl.col("user_upn"))
    rows = frame.select(
        "row",
        object_key=pl.coalesce("id:" + user_id, "upn:" + upn),
        entra_id=user_id,
        upn="user_upn",
        mail=pl.lit(None, pl.String),
        display_name="user_name",
        kind=kind(upn=pl.col("user_upn")),
        device="user_mail",
    ).drop_nulls("object_key")
    first = pl.col("row", "entra_id", "upn", "mail", "display_name", "kind").first(ignore_nulls=True)
    return rows.group_by("object_key", maintain_order=True).agg(first, pl.col("device").drop_nulls().unique())


def _intune_users(frame: pl.DataFrame) -> pl.DataFrame:
    """The primary user by id, else by UPN. Without a user it is a shared device."""
    user_id = guid(pl.col("user_id"))
    references = [
        ("primary_user", "entra_id", user_id),
        ("primary_user", "upn", pl.when(user_id.is_null()).then(address_key(pl.col("user_upn")))),
        ("logged_on", "upn", address_key(pl.col("logged_on_upn"))),
        ("enrolled_by", "upn", address_key(pl.col("enrolled_by_upn"))),
    ]
    rows = [
        frame.select("device_key", evidence=pl.lit(evidence), ref_kind=pl.lit(ref_kind), ref=ref)
        for evidence, ref_kind, ref in references
    ]
    return pl.concat(rows).drop_nulls()


def read_affinity(fields: CsvFields) -> Parsed:
    """ConfigMgr's user-device affinity: one row for each device and account `domain\\user`."""
    invalid = ~pl.col("account").str.contains(_ACCOUNT).fill_null(value=False)
    frame, invalid_users = split_rejects(fields.frame, invalid, "account", "the user is not in the form domain\\user")
    frame, without_key = split_rejects(
        frame, pl.col("device_name").is_null() & pl.col("resource").is_null(), None, _NO_ID
    )
    frame = frame.with_columns(device_key=pl.coalesce("resource:" + pl.col("resource"), _name_key()))
    users = frame.select(
        "device_key", evidence=pl.lit("affinity"), ref_kind=pl.lit("sam"), ref=pl.col("account").str.to_lowercase()
    )
    devices = frame.unique("device_key", keep="last", maintain_order=True).select("device_key", "device_name", "row")
    return parsed_rows(
        "configmgr-affinity",
        "ConfigMgr user-device affinity CSV",
        devices=devices,
        device_users=users.unique(maintain_order=True),
        rejects=[fields.rejects, invalid_users, without_key],
        warnings=fields.warnings,
    )


def _name_key() -> pl.Expr:
    return "name:" + pl.col("device_name").str.to_lowercase()


def _split_invalid_ids(fields: CsvFields, *ids: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows whose ids are GUIDs or missing, and the rejects."""
    frame, rejects = fields.frame, [fields.rejects]
    for name in ids:
        is_invalid = pl.col(name).is_not_null() & guid(pl.col(name)).is_null()
        frame, invalid = split_rejects(frame, is_invalid, name, "the id is not a valid GUID")
        rejects.append(invalid)
    return frame, pl.concat(rejects)
