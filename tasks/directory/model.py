"""The common result of all readers of directory data: frames of source objects.

A *source* is one kind of export of one system (`entra-users`, `ad-users`, …) and the unit of a snapshot. Its objects
are stored unchanged; `merge/` builds people and devices from the objects of all sources.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import polars as pl

from tasks.alerts import MOMENT

Kind = Literal["person", "shared", "room", "group", "contact", "guest", "service", "system"]
KINDS: tuple[Kind, ...] = ("person", "shared", "room", "group", "contact", "guest", "service", "system")

ATTRIBUTES = (
    "dn", "distinguishedname", "objectclass", "objectguid", "objectsid", "ms-ds-consistencyguid", "entryuuid",
    "samaccountname", "uid", "userprincipalname", "mail", "proxyaddresses", "aliases", "othermailbox", "targetaddress",
    "useraccountcontrol", "enabled", "msexchrecipienttypedetails", "department", "departmentnumber", "title",
    "displayname", "cn", "name", "givenname", "sn", "employeeid", "employeenumber", "member", "uniquemember",
    "memberuid", "memberaddress", "memberof", "managedby", "dnshostname", "operatingsystem", "operatingsystemversion",
    "lastlogontimestamp", "isdeleted",
)  # fmt: skip
"""The fields of an LDAP entry: attributes in lower case, and three that stand for attributes with other names:
`aliases` (mailAlternateAddress, …), `memberaddress` (rfc822MailMember, …), `enabled` (PowerShell's)."""

OBJECT_SCHEMA = pl.Schema(
    {
        "object_key": pl.String(),  # strongest id there is within the source, e.g. `id:…`, `sid:…`, `dn:…`, `upn:…`
        "kind": pl.String(),  # one of KINDS
        "display_name": pl.String(),
        "upn": pl.String(),
        "mail": pl.String(),
        "department": pl.String(),
        "job_title": pl.String(),
        "user_type": pl.String(),  # Member, Guest; MailUser: of Active Directory, without a mailbox of its own
        "account_enabled": pl.Boolean(),  # null: unknown
        "employee_id": pl.String(),
        "primary_smtp": pl.String(),  # address key of the primary SMTP address, else of `mail`
        "sam_account": pl.String(),  # lower case
        "domain": pl.String(),  # NetBIOS or DNS name of the account's domain, lower case, where known
        "entra_id": pl.String(),  # object id in Entra, lower case with dashes
        "ad_guid": pl.String(),  # objectGUID, lower case with dashes
        "ad_anchor": pl.String(),  # mS-DS-ConsistencyGuid where set, as a GUID like `ad_guid`
        "ad_sid": pl.String(),  # objectSid, S-1-5-…
        "ad_dn": pl.String(),  # distinguishedName, lower case
        "onprem_sid": pl.String(),  # in Entra objects: SID of the same object in AD
        "onprem_guid": pl.String(),  # onPremisesImmutableId, decoded to a GUID
        "onprem_dn": pl.String(),
        "onprem_domain": pl.String(),
        "onprem_sam": pl.String(),
        "onprem_upn": pl.String(),
        "row": pl.Int64(),  # line or record number in the file, from 1
    }
)

ADDRESS_SCHEMA = pl.Schema(
    {
        "object_key": pl.String(),
        "address": pl.String(),  # address key (values.address_key)
        "rank": pl.Int8(),  # 1 best … 8, see ADDRESS_RULES
        "rule": pl.String(),
    }
)
ADDRESS_RULES = {
    "primary": 1,  # SMTP: of proxyAddresses
    "alias": 2,  # smtp: of proxyAddresses
    "mail": 3,
    "routing": 4,  # otherMailbox, targetAddress
    "upn": 5,
    "device": 6,  # managedDevice.emailAddress
    "other": 7,  # otherMails, alternateEmailAddress
    "guest": 8,  # decoded from a #EXT# name
}

MEMBER_SCHEMA = pl.Schema(
    {
        "group_key": pl.String(),  # object_key of the group
        "ref_kind": pl.String(),  # kind of identifier in `ref`: one of REF_KINDS
        "ref": pl.String(),
    }
)
REF_KINDS = ("entra_id", "ad_guid", "ad_sid", "ad_dn", "upn", "sam", "address", "name")

DEVICE_SCHEMA = pl.Schema(
    {
        "device_key": pl.String(),  # strongest id within the source
        "device_name": pl.String(),
        "os": pl.String(),
        "os_version": pl.String(),
        "is_compliant": pl.Boolean(),
        "is_managed": pl.Boolean(),
        "serial_number": pl.String(),  # null for placeholders such as "To be filled by O.E.M."
        "entra_device_id": pl.String(),  # `deviceId`, what Intune calls azureADDeviceId; not the object id
        "entra_object_id": pl.String(),
        "intune_id": pl.String(),
        "ad_sid": pl.String(),
        "ad_guid": pl.String(),  # objectGUID: Entra takes it as the `deviceId` of a computer that it has from AD
        "dns_name": pl.String(),
        "last_seen_at": MOMENT,
        "row": pl.Int64(),
    }
)

DEVICE_USER_SCHEMA = pl.Schema(
    {
        "device_key": pl.String(),
        "evidence": pl.String(),  # one of EVIDENCE
        "ref_kind": pl.String(),  # kind of identifier in `ref`: one of REF_KINDS
        "ref": pl.String(),
    }
)
EVIDENCE = {"primary_user": 1, "registered": 2, "affinity": 3, "logged_on": 4, "enrolled_by": 5, "managed_by": 6}
"""Strongest first."""

REJECT_SCHEMA = pl.Schema({"row": pl.Int64(), "column": pl.String(), "reason": pl.String()})


def _empty(schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame(schema=schema)


@dataclass(frozen=True)
class Parsed:
    """The content of one file or one pull."""

    source: str
    """`entra-users`, `entra-devices`, `intune-devices`, `m365-users`, `graph-users`, `graph-devices`,
    `graph-managed-devices`, `graph-groups`, `ad-users`, `ad-computers`, `ad-groups`, `ad` (mixed: csvde, LDIF), …"""
    family: str
    """the format's name for people, e.g. `Entra "Download users" CSV`"""
    objects: pl.DataFrame = field(default_factory=lambda: _empty(OBJECT_SCHEMA))
    addresses: pl.DataFrame = field(default_factory=lambda: _empty(ADDRESS_SCHEMA))
    members: pl.DataFrame = field(default_factory=lambda: _empty(MEMBER_SCHEMA))
    devices: pl.DataFrame = field(default_factory=lambda: _empty(DEVICE_SCHEMA))
    device_users: pl.DataFrame = field(default_factory=lambda: _empty(DEVICE_USER_SCHEMA))
    rejects: pl.DataFrame = field(default_factory=lambda: _empty(REJECT_SCHEMA))
    warnings: tuple[str, ...] = ()
    """for the operator: lost columns, assumed encodings, information that the export lacks"""
    has_aliases: bool = True
    """False where the format holds no alias addresses at all: a reason of unmatched recipients"""
    aliases_lost: bool = False
    """True where the aliases are replaced by type names: also a reason of unmatched recipients"""
    complete: bool = True
    """False for one page of several or a listing of changes: objects that are absent must not be marked as gone"""
    snapshot_at: datetime | None = None
    """time of the export, where the file has it"""


SNAPSHOT_FRAMES = ("objects", "addresses", "members", "devices", "device_users")
"""Fields of Parsed; with a column `source` they are the tables source_…."""
