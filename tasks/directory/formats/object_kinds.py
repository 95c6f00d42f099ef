"""The kind of a directory object: person, shared mailbox, room, group, contact, guest, service or system account.

Expressions on text columns; `NO_COLUMN` replaces a column that an export lacks.
"""

import polars as pl

NO_COLUMN = pl.lit(None, pl.String)

# msExchRecipientTypeDetails, a 64-bit number; its remote forms are mailboxes in the cloud.
_BY_RECIPIENT_TYPE = {
    "shared": (4, 34_359_738_368),
    "room": (16, 32, 8_589_934_592, 17_179_869_184),
    "contact": (64,),
    "group": (256, 512, 1024, 2048),
}
# The same as RecipientTypeDetails of Exchange's cmdlets.
_BY_RECIPIENT_NAME = {
    "shared": ("sharedmailbox", "remotesharedmailbox", "teammailbox", "remoteteammailbox", "publicfolder"),
    "room": (
        "roommailbox", "equipmentmailbox", "schedulingmailbox", "remoteroommailbox", "remoteequipmentmailbox",
        "workspacemailbox", "deskmailbox",
    ),
    "contact": ("mailcontact", "mailforestcontact", "contact"),
    "group": (
        "mailuniversaldistributiongroup", "mailnonuniversalgroup", "mailuniversalsecuritygroup", "groupmailbox",
        "dynamicdistributiongroup", "universaldistributiongroup", "universalsecuritygroup", "roomlist", "group",
        "remotegroupmailbox",
    ),
    "system": (
        "arbitrationmailbox", "auditlogmailbox", "auxauditlogmailbox", "discoverymailbox", "monitoringmailbox",
        "supervisoryreviewpolicymailbox", "systemattendantmailbox", "systemmailbox", "migrationmailbox",
        "publicfoldermailbox",
    ),
}  # fmt: skip
_RECIPIENT_TYPES = {
    str(value): kind
    for kinds in (_BY_RECIPIENT_TYPE, _BY_RECIPIENT_NAME)
    for kind, values in kinds.items()
    for value in values
}
DYNAMIC_GROUP = "2048"
MAIL_USER = "128"  # a person with a mailbox elsewhere

# Mailboxes created by Exchange and mail servers, by local part and by account name.
_SYSTEM = (
    r"(?i)^(?:healthmailbox[0-9a-f\-]*|(?:systemmailbox|discoverysearchmailbox)\{?[0-9a-f\-]*\}?"
    r"|(?:federatedemail|migration)\.[0-9a-f\-]{36}|postmaster|mailer-daemon)$"
)
_SYSTEM_ACCOUNT = r"(?i)^(?:healthmailbox[0-9a-f]+|sm_[0-9a-f]{17})$"
# Accounts of Entra Connect (MSOL_, AAD_, Sync_, ADSyncMSA), those that sites name svc…, and those of Windows.
_SERVICE = r"(?i)^(?:(?:msol|aad)_[0-9a-f]+|sync_[^@]+_[0-9a-f]+|adsyncmsa.*|svc[\-_.].+)$"
_SERVICE_ACCOUNT = r"(?i)^(?:krbtgt(?:_\d+)?|guest|defaultaccount|wdagutilityaccount|azureadssoacc\$?)$"
_SERVICE_CLASSES = (
    "msds-managedserviceaccount",
    "msds-groupmanagedserviceaccount",
    "msds-delegatedmanagedserviceaccount",
)
_GROUP_CLASSES = (
    "group", "groupofnames", "groupofuniquenames", "groupofmembers", "groupofentries", "groupofurls", "posixgroup",
    "msexchdynamicdistributionlist", "mailgroup", "inetmailgroup", "nismailalias", "sendmailmtaaliasobject",
    "couriermailalias", "univentiongroup", "univentionmaillist", "kolabgroupofnames", "kolabgroupofuniquenames",
    "zimbradistributionlist", "zimbragroup",
)  # fmt: skip
_PERSON_CLASSES = ("user", "inetorgperson", "person", "organizationalperson", "posixaccount")


def kind(
    *,
    upn: pl.Expr = NO_COLUMN,
    mail: pl.Expr = NO_COLUMN,
    sam: pl.Expr = NO_COLUMN,
    user_type: pl.Expr = NO_COLUMN,
    recipient_type: pl.Expr = NO_COLUMN,
    base: pl.Expr = NO_COLUMN,
) -> pl.Expr:
    """One of KINDS, never null.

    `base`: the kind by its class (`kind_of_class`, or `group` for a listing of groups); `recipient_type`: number
    or name in msExchRecipientTypeDetails or RecipientTypeDetails; `user_type`: Member or Guest, which precedes `#EXT#`
    in the UPN because some members have such names.
    """
    system = pl.any_horizontal(
        *(_local_part(name).str.contains(_SYSTEM) for name in (upn, mail)), sam.str.contains(_SYSTEM_ACCOUNT)
    )
    service = pl.any_horizontal(
        *(_local_part(name).str.contains(_SERVICE) for name in (upn, sam)), sam.str.contains(_SERVICE_ACCOUNT)
    )
    stated_type = user_type.str.strip_chars().str.to_lowercase()
    guest = pl.coalesce(stated_type == "guest", upn.str.contains("(?i)#EXT#"), pl.lit(value=False))
    by_type = (
        recipient_type.str.strip_chars()
        .str.to_lowercase()
        .replace_strict(_RECIPIENT_TYPES, default=None, return_dtype=pl.String)
    )
    return (
        pl.when(base.is_in(["group", "contact", "shared", "service"])).then(base)
        .when(system).then(pl.lit("system"))
        .when(service).then(pl.lit("service"))
        .otherwise(pl.coalesce(by_type, pl.when(guest).then(pl.lit("guest")), pl.lit("person")))
    )  # fmt: skip


def user_type_of_recipient(recipient_type: pl.Expr) -> pl.Expr:
    """MailUser, Guest or null, from RecipientTypeDetails."""
    types = {"mailuser": "MailUser", "guestmailuser": "Guest"}
    return recipient_type.str.to_lowercase().replace_strict(types, default=None, return_dtype=pl.String)


def kind_of_class(classes: pl.Expr) -> pl.Expr:
    """From objectClass (list of texts): group, contact, shared, service, device, person, or null for other classes.

    In the schema a managed service account is also a computer, and a computer also a user: the narrowest class decides.
    """
    names = classes.list.eval(pl.element().str.strip_chars().str.to_lowercase())

    def any_of(*wanted: str) -> pl.Expr:
        return pl.any_horizontal(names.list.contains(name) for name in wanted)

    return (
        pl.when(any_of(*_SERVICE_CLASSES)).then(pl.lit("service"))
        .when(any_of("computer")).then(pl.lit("device"))
        .when(any_of("contact")).then(pl.lit("contact"))
        .when(any_of(*_GROUP_CLASSES)).then(pl.lit("group"))
        .when(any_of("publicfolder")).then(pl.lit("shared"))
        .when(any_of(*_PERSON_CLASSES)).then(pl.lit("person"))
    )  # fmt: skip


def _local_part(address: pl.Expr) -> pl.Expr:
    return address.str.extract(r"^\s*([^@]*)")
