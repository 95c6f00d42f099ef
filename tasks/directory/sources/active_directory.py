"""Entries of a directory spoken to by LDAP (Active Directory, OpenLDAP) → what they say, whatever file they came in.

Input of `ad_objects` is a frame: `row` (Int64, line or record number in the file) and one column per attribute, named
by the attribute in lower case without options (`samaccountname`, `ms-ds-consistencyguid`), each List(String) with all
values of the entry, null where it has none. `dn` or `distinguishedname` names the entry. Binary values are base64 or
csvde's X'…'. Attributes that are not in ATTRIBUTES are ignored; all of them may be missing. `entries_frame` makes the
frame from dicts.
"""

from collections.abc import Sequence

import polars as pl

from tasks.directory.formats.guid_sid import guid, sid
from tasks.directory.formats.object_kinds import DYNAMIC_GROUP, MAIL_USER, kind, kind_of_class
from tasks.directory.formats.values import moment, nothing, truth
from tasks.directory.model import ATTRIBUTES, DEVICE_SCHEMA, DEVICE_USER_SCHEMA, MEMBER_SCHEMA, REJECT_SCHEMA, Parsed
from tasks.directory.sources.address_rows import address_rows, fitted, list_series, object_rows

ENTRY_SCHEMA = pl.Schema({"row": pl.Int64(), **dict.fromkeys(ATTRIBUTES, pl.List(pl.String()))})

NO_ALIASES = "No entry has proxyAddresses, so recipients are not found by alias. Export that attribute as well."
DISABLED = 2  # bit of userAccountControl (reference 2.2)


def entries_frame(entries: Sequence[dict[str, list[str]]], rows: Sequence[int]) -> pl.DataFrame:
    """The frame that `ad_objects` takes; `entries`: lower-case attribute → values, `rows`: where each stands."""
    columns = {name: list_series([entry.get(name) for entry in entries]) for name in ATTRIBUTES}
    return pl.DataFrame({"row": rows, **columns}, schema=ENTRY_SCHEMA)


def ad_objects(entries: pl.DataFrame, source: str = "ad", family: str = "Active Directory") -> Parsed:
    """People, groups, contacts and computers of the entries; source `ldap` for directories that are not Microsoft's.

    Entries that are none of these are passed over with a warning that counts them; those without any id are rejects.
    """
    rows = _keyed(fitted(entries, ENTRY_SCHEMA), source)
    gone = truth(_first("isdeleted")).fill_null(value=False)
    bad = rows.filter(~gone & pl.col("class").is_not_null() & pl.col("object_key").is_null())
    odd = rows.filter(~gone & pl.col("class").is_null()).height
    good = rows.filter(~gone & pl.col("class").is_not_null()).drop_nulls("object_key")
    # The same entry twice: the later one is the newer one.
    good = good.unique("object_key", keep="last", maintain_order=True)
    people, computers = good.filter(pl.col("class") != "device"), good.filter(pl.col("class") == "device")
    objects = _objects(people, source)
    addresses = address_rows(objects)
    aliases = source != "ad" or rows["proxyaddresses"].is_not_null().any()
    return Parsed(
        source,
        family,
        objects=object_rows(objects, addresses),
        addresses=addresses,
        members=_members(people),
        devices=_devices(computers),
        device_users=_managers(computers),
        rejects=fitted(bad.select("row", reason=pl.lit("neither objectGUID, objectSid nor a DN")), REJECT_SCHEMA),
        warnings=tuple(_warnings(people, odd, rows.select(gone.sum()).item(), bool(aliases) or people.is_empty())),
        has_aliases=bool(aliases),
    )


def _first(attribute: str) -> pl.Expr:
    return nothing(pl.col(attribute).list.first())


def _keyed(entries: pl.DataFrame, source: str) -> pl.DataFrame:
    """`entries` with ad_guid, ad_sid, ad_dn, object_key and `class`, null where it is of none that matters here."""
    rows = entries.with_columns(
        ad_dn=pl.coalesce(_first("dn"), _first("distinguishedname")).str.to_lowercase(),
        ad_guid=guid(pl.col("objectguid").list.first()),
        ad_sid=sid(pl.col("objectsid").list.first()),
        uuid=guid(pl.col("entryuuid").list.first()),
    )
    # Exports of some attributes only leave objectClass out.
    members = ("member", "uniquemember")
    names = ("samaccountname", "userprincipalname", "mail", "proxyaddresses")
    guess = (
        pl.when(_first("samaccountname").str.ends_with("$")).then(pl.lit("device"))
        .when(pl.any_horizontal(pl.col(name).is_not_null() for name in members)).then(pl.lit("group"))
        .when(pl.any_horizontal(_first(name).is_not_null() for name in names))
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
    """Columns of OBJECT_SCHEMA and those of `address_rows`."""
    flags = _first("useraccountcontrol").cast(pl.Int64, strict=False)
    account = pl.coalesce(_first("samaccountname"), _first("uid"))
    recipient_type = _first("msexchrecipienttypedetails")
    upn, mail = _first("userprincipalname"), _first("mail")
    return people.select(
        "object_key", "ad_dn", "ad_guid", "ad_sid", "row",
        kind=kind(upn=upn, mail=mail, sam=account, recipient_type=recipient_type, base=pl.col("class")),
        display_name=pl.coalesce(_first("displayname"), _first("cn"), _first("name")),
        upn=upn,
        mail=mail,
        department=pl.coalesce(_first("department"), _first("departmentnumber")),
        job_title=_first("title"),
        user_type=pl.when(recipient_type == MAIL_USER).then(pl.lit("MailUser")),
        account_enabled=(flags & DISABLED) == 0,
        employee_id=pl.coalesce(_first("employeeid"), _first("employeenumber")),
        sam_account=account.str.to_lowercase(),
        domain=_domain(pl.col("ad_dn")) if source == "ad" else pl.lit(None, pl.String),
        ad_anchor=guid(pl.col("ms-ds-consistencyguid").list.first()),
        proxies="proxyaddresses",
        mails="mail",
        routing=pl.concat_list(_list("othermailbox"), _list("targetaddress")),
    )  # fmt: skip


def _list(attribute: str) -> pl.Expr:
    return pl.col(attribute).fill_null(pl.lit([], pl.List(pl.String)))


def _domain(dn: pl.Expr) -> pl.Expr:
    """The DNS name of the domain that a DN in lower case lies in."""
    parts = dn.str.extract_all(r"(?:^|,)\s*dc=[^,]+").list.eval(pl.element().str.replace(r"^,?\s*dc=", ""))
    return nothing(parts.list.join("."))


def _members(groups: pl.DataFrame) -> pl.DataFrame:
    """MEMBER_SCHEMA, from the groups' lists and from what members of this file say they are in."""
    named = {"member": "ad_dn", "uniquemember": "ad_dn", "memberuid": "sam"}
    own = [
        groups.filter(pl.col("class") == "group")
        .select(group_key="object_key", ref_kind=pl.lit(ref_kind), ref=attribute)
        .explode("ref")
        for attribute, ref_kind in named.items()
    ]
    holders = groups.filter(pl.col("class") == "group").select(group_key="object_key", memberof="ad_dn").drop_nulls()
    told = (
        groups.select("memberof", ref="ad_dn").explode("memberof").with_columns(pl.col("memberof").str.to_lowercase())
    )
    inverse = told.join(holders, on="memberof", maintain_order="left").select(
        "group_key", "ref", ref_kind=pl.lit("ad_dn")
    )
    rows = pl.concat([*own, inverse], how="diagonal").with_columns(nothing(pl.col("ref")).str.to_lowercase())
    return fitted(rows.drop_nulls().unique(maintain_order=True), MEMBER_SCHEMA)


def _devices(computers: pl.DataFrame) -> pl.DataFrame:
    rows = computers.select(
        "ad_sid", "ad_guid", "row",
        device_key="object_key",
        device_name=pl.coalesce(_first("cn"), _first("name"), _first("samaccountname").str.strip_suffix("$")),
        os=_first("operatingsystem"),
        os_version=_first("operatingsystemversion"),
        dns_name=_first("dnshostname").str.to_lowercase(),
        last_seen_at=moment(_first("lastlogontimestamp")),
    )  # fmt: skip
    return fitted(rows, DEVICE_SCHEMA)


def _managers(computers: pl.DataFrame) -> pl.DataFrame:
    rows = computers.select(
        device_key="object_key", evidence=pl.lit("managed_by"), ref_kind=pl.lit("ad_dn"), ref=_first("managedby")
    ).with_columns(pl.col("ref").str.to_lowercase())
    return fitted(rows.drop_nulls(), DEVICE_USER_SCHEMA)


def _warnings(people: pl.DataFrame, odd: int, gone: int, aliases: bool) -> list[str]:
    dynamic = people.filter(_first("msexchrecipienttypedetails") == DYNAMIC_GROUP).height
    told = []
    if odd:
        told.append(f"{odd} entries are no people, groups, contacts or computers and were passed over.")
    if gone:
        told.append(f"{gone} deleted entries were passed over.")
    if dynamic:
        told.append(f"{dynamic} dynamic groups: no export says who is in them, so mail to them leads to no people.")
    if not aliases:
        told.append(NO_ALIASES)
    return told
