"""Entries of an LDAP directory (Active Directory, OpenLDAP) from any file format → source objects.

Input of `ad_objects` is a frame: `row` (Int64, line or record number in the file) and one column per attribute, named
in lower case without options (`samaccountname`, `ms-ds-consistencyguid`), each List(String) with all values of the
entry, or null. `dn` or `distinguishedname` identifies the entry. Binary values are base64 or csvde's X'…'. Attributes
outside ATTRIBUTES are ignored; any may be missing. `entries_frame` builds the frame from dicts.
"""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from tasks.directory.formats.guid_sid import guid, sid
from tasks.directory.formats.object_kinds import DYNAMIC_GROUP, MAIL_USER, kind, kind_of_class
from tasks.directory.formats.row_numbers import listed_rows
from tasks.directory.formats.values import clean_text, parse_bool, parse_timestamp
from tasks.directory.model import ATTRIBUTES, Parsed
from tasks.directory.sources.address_rows import fit_to_schema, list_series
from tasks.directory.sources.parsed_rows import parsed_rows
from tasks.formatting import format_count
from tasks.sanitize import plain

ENTRY_SCHEMA = pl.Schema({"row": pl.Int64(), **dict.fromkeys(ATTRIBUTES, pl.List(pl.String()))})

Attributes = dict[str, list[str]]
"""the values of an entry by attribute in lower case, or by field of ATTRIBUTES"""

NO_ALIASES = "No entry has proxyAddresses, so recipients cannot be matched by alias. Export that attribute as well."
NO_LDAP_ALIASES = (
    "No entry has an alias address (mailAlternateAddress, mailLocalAddress, …), so recipients cannot be matched by "
    "alias. Export these attributes as well, or add the name of yours to directory_headers.csv with the field aliases."
)
ADDRESSES = ("mail", "proxyaddresses", "aliases")
DISABLED = 2  # bit of userAccountControl


def entries_frame(entries: Sequence[Attributes], rows: Sequence[int], names: Mapping[str, str]) -> pl.DataFrame:
    """Input of `ad_objects`; `rows`: line or record number of each entry.

    `names`: attribute → field, the preferred attribute of a field first.
    """
    order = {name: place for place, name in enumerate(names)}
    entries = [_fields(entry, names, order) for entry in entries]
    columns = {name: list_series([entry.get(name) for entry in entries]) for name in ATTRIBUTES}
    return pl.DataFrame({"row": rows, **columns}, schema=ENTRY_SCHEMA)


def _fields(entry: Attributes, names: Mapping[str, str], order: Mapping[str, int]) -> Attributes:
    """By field: the values of all attributes of a field, those of the preferred attribute first."""
    fields: Attributes = {}
    for name in sorted(entry.keys() & names.keys(), key=order.__getitem__):
        fields.setdefault(names[name], []).extend(entry[name])
    return fields


def ad_objects(entries: pl.DataFrame, source: str = "ad", family: str = "Active Directory") -> Parsed:
    """People, groups, contacts and computers; source `ldap` for directories that are not Microsoft's.

    An entry of an unknown class with an address and a name is a mailbox, with members a group. Other entries are
    skipped with a warning that counts them; entries without any id are rejects.
    """
    rows = _with_keys(fit_to_schema(entries, ENTRY_SCHEMA), source)
    deleted = parse_bool(_first_value("isdeleted")).fill_null(value=False)
    without_key = rows.filter(~deleted & pl.col("class").is_not_null() & pl.col("object_key").is_null())
    skipped = rows.filter(~deleted & (pl.col("class").is_null() | (pl.col("class") == "device")))
    usable = rows.filter(~deleted & pl.col("class").is_not_null()).drop_nulls("object_key")
    # If an entry occurs twice, the later one is newer.
    usable = usable.unique("object_key", keep="last", maintain_order=True)
    people, computers = usable.filter(pl.col("class") != "device"), usable.filter(pl.col("class") == "device")
    objects = _objects(people, source)
    aliases = people.select(_has_aliases(source)).to_series().any()
    return parsed_rows(
        source,
        family,
        people=objects,
        members=_members(people),
        devices=_devices(computers),
        device_users=_managers(computers),
        rejects=[without_key.select("row", reason=pl.lit("no objectGUID, objectSid or DN"))],
        warnings=tuple(
            _warnings(people, skipped, rows.select(deleted.sum()).item(), source, family, has_aliases=aliases)
        ),
        has_aliases=aliases,
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
    return rows.with_columns(
        pl.when(pl.col("objectclass").is_null())
        .then(_class_without_object_class())
        .otherwise(pl.coalesce(kind_of_class(pl.col("objectclass")), _class_of_unknown_class()))
        .alias("class"),
        object_key=pl.coalesce(
            "guid:" + pl.col("ad_guid"), "uuid:" + pl.col("uuid"), "sid:" + pl.col("ad_sid"), "dn:" + pl.col("ad_dn")
        ),
    )


def _any_value(attributes: Sequence[str]) -> pl.Expr:
    return pl.any_horizontal(_first_value(name).is_not_null() for name in attributes)


def _class_without_object_class() -> pl.Expr:
    """Exports of selected attributes may lack objectClass."""
    return (
        pl.when(_first_value("samaccountname").str.ends_with("$")).then(pl.lit("device"))
        .when(_has_members()).then(pl.lit("group"))
        .when(_any_value(("samaccountname", "userprincipalname", *ADDRESSES))).then(pl.lit("person"))
    )  # fmt: skip


def _class_of_unknown_class() -> pl.Expr:
    """Directories have classes of their own."""
    named = _name().is_not_null()
    return (
        pl.when(named & _has_members()).then(pl.lit("group"))
        .when(named & _any_value(ADDRESSES)).then(pl.lit("person"))
    )  # fmt: skip


def _has_members() -> pl.Expr:
    """A person whose mail is forwarded has addresses of members, too."""
    personal = _any_value(("uid", "sn", "givenname", "samaccountname"))
    return _any_value(("member", "uniquemember")) | (_any_value(("memberaddress",)) & ~personal)


def _name() -> pl.Expr:
    full_name = clean_text(
        pl.concat_str(_first_value("givenname"), _first_value("sn"), separator=" ", ignore_nulls=True)
    )
    return pl.coalesce(
        _first_value("displayname"), _first_value("cn"), _first_value("name"), full_name, _first_value("uid")
    )


def _has_aliases(source: str) -> pl.Expr:
    """Other servers also write aliases as further values of `mail`."""
    several_mails = (pl.col("mail").list.len() > 1) & (source != "ad")
    return pl.any_horizontal(pl.col("proxyaddresses").is_not_null(), pl.col("aliases").is_not_null(), several_mails)


def _objects(people: pl.DataFrame, source: str) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and of `address_rows`."""
    flags = _first_value("useraccountcontrol").cast(pl.Int64, strict=False)
    account = pl.coalesce(_first_value("samaccountname"), _first_value("uid"))
    recipient_type = _first_value("msexchrecipienttypedetails")
    upn, mail = _first_value("userprincipalname"), _first_value("mail")
    return people.select(
        "object_key", "ad_dn", "ad_guid", "ad_sid", "row",
        kind=kind(upn=upn, mail=mail, sam=account, recipient_type=recipient_type, base=pl.col("class")),
        display_name=_name(),
        upn=upn,
        mail=mail,
        department=pl.coalesce(_first_value("department"), _first_value("departmentnumber")),
        job_title=_first_value("title"),
        user_type=pl.when(recipient_type == MAIL_USER).then(pl.lit("MailUser")),
        account_enabled=pl.coalesce((flags & DISABLED) == 0, parse_bool(_first_value("enabled"))),
        employee_id=pl.coalesce(_first_value("employeeid"), _first_value("employeenumber")),
        sam_account=account.str.to_lowercase(),
        domain=_domain_of_dn(pl.col("ad_dn")) if source == "ad" else pl.lit(None, pl.String),
        ad_anchor=guid(pl.col("ms-ds-consistencyguid").list.first()),
        proxies="proxyaddresses",
        aliases="aliases",
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
    member_attributes = {"member": "ad_dn", "uniquemember": "ad_dn", "memberuid": "sam", "memberaddress": "address"}
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


def _warnings(
    people: pl.DataFrame, skipped: pl.DataFrame, deleted: int, source: str, family: str, *, has_aliases: bool
) -> Iterator[str]:
    """`skipped`: entries that are not objects; those of computers are devices."""
    with_address, other = (
        skipped.filter(_any_value(ADDRESSES)),
        skipped.filter(~_any_value(ADDRESSES), pl.col("class").is_null()),
    )
    dynamic = people.filter(_first_value("msexchrecipienttypedetails") == DYNAMIC_GROUP).height
    if with_address.height:
        classes = with_address["objectclass"].list.last().drop_nulls().unique().sort().to_list()
        yield (
            f"{format_count(with_address.height, 'entry')} with a mail address left out, because they are computers or "
            f"have no name: {listed_rows(family, with_address['row'].to_list())} (class {plain(', '.join(classes))})."
        )
    if other.height:
        yield f"{format_count(other.height, 'entry')} skipped: not a person, group, contact or computer."
    if deleted:
        yield f"{format_count(deleted, 'deleted entry')} skipped."
    if dynamic:
        count = format_count(dynamic, "dynamic group")
        yield f"{count} without members, as in any export: mail to them matches no people."
    if not has_aliases and not people.is_empty():
        yield NO_ALIASES if source == "ad" else NO_LDAP_ALIASES
