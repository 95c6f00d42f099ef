"""Entries of an LDAP directory (Active Directory, OpenLDAP) from any file format → source objects.

Input of `ad_objects` is a frame: `row` (Int64, line or record number in the file) and one column per attribute, named
by the attribute in lower case without options (`samaccountname`, `ms-ds-consistencyguid`), each List(String) with all
values of the entry, or null. `dn` or `distinguishedname` identifies the entry. Binary values are base64 or csvde's
X'…'. Attributes outside ATTRIBUTES are ignored; any may be missing. `entries_frame` builds the frame from dicts.
"""

from collections.abc import Sequence

import polars as pl

from tasks.directory.formats.guid_sid import guid, sid
from tasks.directory.formats.object_kinds import DYNAMIC_GROUP, MAIL_USER, kind, kind_of_class
from tasks.directory.formats.values import clean_text, parse_bool, parse_timestamp
from tasks.directory.model import ATTRIBUTES, Parsed
from tasks.directory.sources.address_rows import fit_to_schema, list_series
from tasks.directory.sources.parsed_rows import parsed_rows
from tasks.formatting import format_count

ENTRY_SCHEMA = pl.Schema({"row": pl.Int64(), **dict.fromkeys(ATTRIBUTES, pl.List(pl.String()))})

NO_ALIASES = "No entry has proxyAddresses, so recipients cannot be matched by alias. Export that attribute as well."
DISABLED = 2  # bit of userAccountControl (reference 2.2)


def entries_frame(entries: Sequence[dict[str, list[str]]], rows: Sequence[int]) -> pl.DataFrame:
    """Input of `ad_objects`; `entries`: lower-case attribute → values, `rows`: line or record number of each."""
    columns = {name: list_series([entry.get(name) for entry in entries]) for name in ATTRIBUTES}
    return pl.DataFrame({"row": rows, **columns}, schema=ENTRY_SCHEMA)


def ad_objects(entries: pl.DataFrame, source: str = "ad", family: str = "Active Directory") -> Parsed:
    """People, groups, contacts and computers; source `ldap` for directories that are not Microsoft's.

    Other entries are skipped with a warning that counts them; entries without any id are rejects.
    """
    rows = _with_keys(fit_to_schema(entries, ENTRY_SCHEMA), source)
    deleted = parse_bool(_first_value("isdeleted")).fill_null(value=False)
    without_key = rows.filter(~deleted & pl.col("class").is_not_null() & pl.col("object_key").is_null())
    unsupported = rows.filter(~deleted & pl.col("class").is_null()).height
    usable = rows.filter(~deleted & pl.col("class").is_not_null()).drop_nulls("object_key")
    # If an entry occurs twice, the later one is newer.
    usable = usable.unique("object_key", keep="last", maintain_order=True)
    people, computers = usable.filter(pl.col("class") != "device"), usable.filter(pl.col("class") == "device")
    objects = _objects(people, source)
    aliases = source != "ad" or rows["proxyaddresses"].is_not_null().any()
    return parsed_rows(
        source,
        family,
        people=objects,
        members=_members(people),
        devices=_devices(computers),
        device_users=_managers(computers),
        rejects=[without_key.select("row", reason=pl.lit("no objectGUID, objectSid or DN"))],
        warnings=tuple(
            _warnings(people, unsupported, rows.select(deleted.sum()).item(), bool(aliases) or people.is_empty())
        ),
        has_aliases=bool(aliases),
    )


def _first_value(attribute: str) -> pl.Expr:
    return clean_text(pl.col(attribute).list.first())


def _with_keys(entries: pl.DataFrame, source: str) -> pl.DataFrame:
    """With ad_guid, ad_sid, ad_dn, object_key and `class`, which is null for entries that are not read."""
    rows = entries.with_columns(
        ad_dn=pl.coalesce(_first_value("dn"), _first_value("distinguishedname")).str.to_lowercase(),
        ad_guid=guid(pl.col("objectguid").list.first()),
        ad_sid=sid(pl.col("objectsid").list.first()),
        uuid=guid(pl.col("entryuuid").list.first()),
    )
    # Exports of selected attributes may lack objectClass.
    members = ("member", "uniquemember")
    names = ("samaccountname", "userprincipalname", "mail", "proxyaddresses")
    guess = (
        pl.when(_first_value("samaccountname").str.ends_with("$")).then(pl.lit("device"))
        .when(pl.any_horizontal(pl.col(name).is_not_null() for name in members)).then(pl.lit("group"))
        .when(pl.any_horizontal(_first_value(name).is_not_null() for name in names))
        .then(pl.lit("person"))
    )  # fmt: skip
    return rows.with_columns(
        pl.when(pl.col("objectclass").is_null())
        .then(guess)
        .otherwise(kind_of_class(pl.col("objectclass")))
        .alias("class"),
        object_key=pl.coalesce(
            "guid:" + pl.col("ad_guid"), "uuid:" + pl.col("uuid"), "sid:" + pl.col("ad_sid"), "dn:" + pl.col("ad_dn")
        ),
    )


def _objects(people: pl.DataFrame, source: str) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and of `address_rows`."""
    flags = _first_value("useraccountcontrol").cast(pl.Int64, strict=False)
    account = pl.coalesce(_first_value("samaccountname"), _first_value("uid"))
    recipient_type = _first_value("msexchrecipienttypedetails")
    upn, mail = _first_value("userprincipalname"), _first_value("mail")
    return people.select(
        "object_key", "ad_dn", "ad_guid", "ad_sid", "row",
        kind=kind(upn=upn, mail=mail, sam=account, recipient_type=recipient_type, base=pl.col("class")),
        display_name=pl.coalesce(_first_value("displayname"), _first_value("cn"), _first_value("name")),
        upn=upn,
        mail=mail,
        department=pl.coalesce(_first_value("department"), _first_value("departmentnumber")),
        job_title=_first_value("title"),
        user_type=pl.when(recipient_type == MAIL_USER).then(pl.lit("MailUser")),
        account_enabled=(flags & DISABLED) == 0,
        employee_id=pl.coalesce(_first_value("employeeid"), _first_value("employeenumber")),
        sam_account=account.str.to_lowercase(),
        domain=_domain_of_dn(pl.col("ad_dn")) if source == "ad" else pl.lit(None, pl.String),
        ad_anchor=guid(pl.col("ms-ds-consistencyguid").list.first()),
        proxies="proxyaddresses",
        mails="mail",
        routing=pl.concat_list(_values("othermailbox"), _values("targetaddress")),
    )  # fmt: skip


def _values(attribute: str) -> pl.Expr:
    return pl.col(attribute).fill_null(pl.lit([], pl.List(pl.String)))


def _domain_of_dn(dn: pl.Expr) -> pl.Expr:
    """The DNS name of the domain of a DN in lower case."""
    parts = dn.str.extract_all(r"(?:^|,)\s*dc=[^,]+").list.eval(pl.element().str.replace(r"^,?\s*dc=", ""))
    return clean_text(parts.list.join("."))


def _members(groups: pl.DataFrame) -> pl.DataFrame:
    """MEMBER_SCHEMA, from the groups' member lists and the memberOf of entries in the same file."""
    member_attributes = {"member": "ad_dn", "uniquemember": "ad_dn", "memberuid": "sam"}
    listed = [
        groups.filter(pl.col("class") == "group")
        .select(group_key="object_key", ref_kind=pl.lit(ref_kind), ref=attribute)
        .explode("ref")
        for attribute, ref_kind in member_attributes.items()
    ]
    groups_by_dn = (
        groups.filter(pl.col("class") == "group").select(group_key="object_key", memberof="ad_dn").drop_nulls()
    )
    member_of = (
        groups.select("memberof", ref="ad_dn").explode("memberof").with_columns(pl.col("memberof").str.to_lowercase())
    )
    inverse = member_of.join(groups_by_dn, on="memberof", maintain_order="left").select(
        "group_key", "ref", ref_kind=pl.lit("ad_dn")
    )
    rows = pl.concat([*listed, inverse], how="diagonal").with_columns(clean_text(pl.col("ref")).str.to_lowercase())
    return rows.drop_nulls().unique(maintain_order=True)


def _devices(computers: pl.DataFrame) -> pl.DataFrame:
    return computers.select(
        "ad_sid", "ad_guid", "row",
        device_key="object_key",
        device_name=pl.coalesce(
            _first_value("cn"), _first_value("name"), _first_value("samaccountname").str.strip_suffix("$")
        ),
        os=_first_value("operatingsystem"),
        os_version=_first_value("operatingsystemversion"),
        dns_name=_first_value("dnshostname").str.to_lowercase(),
        last_seen_at=parse_timestamp(_first_value("lastlogontimestamp")),
    )  # fmt: skip


def _managers(computers: pl.DataFrame) -> pl.DataFrame:
    rows = computers.select(
        device_key="object_key", evidence=pl.lit("managed_by"), ref_kind=pl.lit("ad_dn"), ref=_first_value("managedby")
    ).with_columns(pl.col("ref").str.to_lowercase())
    return rows.drop_nulls()


def _warnings(people: pl.DataFrame, unsupported: int, deleted: int, aliases: bool) -> list[str]:
    dynamic = people.filter(_first_value("msexchrecipienttypedetails") == DYNAMIC_GROUP).height
    warnings = []
    if unsupported:
        warnings.append(f"{format_count(unsupported, 'entry')} skipped: not a person, group, contact or computer.")
    if deleted:
        warnings.append(f"{format_count(deleted, 'deleted entry')} skipped.")
    if dynamic:
        warnings.append(
            f"{format_count(dynamic, 'dynamic group')} without members, as in any export: mail to them matches no "
            "people."
        )
    if not aliases:
        warnings.append(NO_ALIASES)
    return warnings
