"""Which objects are the same person, mailbox, group, contact or room: rules, the most certain first.

The first rules join one system's exports of one object. Every rule is a join of keys; names are never keys. Groups only
join groups. Groups, contacts and rooms only join by immutable ids: a contact in another forest may have the same
address, and a room is not its owner.
"""

from collections.abc import Callable

import polars as pl

from tasks.directory.merge.merge import Rule
from tasks.directory.merge.precedence import system

CLOSED = ("group", "contact", "room")
EXCLUSIVE = (("ad_sid", "onprem_sid"), ("ad_guid",), ("member_id",))
"""A person has at most one of each kind. An Entra object with the SID of its AD account belongs to no other account."""

IMMUTABLE = ("entra_id", "ad_sid", "ad_guid", "ad_dn")

Keys = Callable[[pl.DataFrame], pl.DataFrame]


def _same(column: str) -> Keys:
    """Objects with the same id in the same column."""
    return lambda rows: rows.select("node", key=_separate_groups(pl.col(column)))


def _twins(left: pl.Expr, *right: pl.Expr, persons_only: bool = False) -> Keys:
    """On-premises identifiers in Entra objects (`left`) and the same identifiers in AD objects (`right`)."""

    def keys(rows: pl.DataFrame) -> pl.DataFrame:
        rows = _without_closed(rows) if persons_only else rows
        return _keys_on_both_sides(
            rows.select("node", key=_separate_groups(left)),
            *(rows.select("node", key=_separate_groups(value)) for value in right),
        )

    return keys


def _keys_on_both_sides(left: pl.DataFrame, *right: pl.DataFrame) -> pl.DataFrame:
    """Keys that occur on both sides."""
    others = pl.concat(right)
    return pl.concat([left.join(others, on="key", how="semi"), others.join(left, on="key", how="semi")])


def _separate_groups(value: pl.Expr) -> pl.Expr:
    """So that groups only match groups."""
    return pl.when(pl.col("kind") == "group").then("group " + value).otherwise("other " + value)


def _without_closed(rows: pl.DataFrame) -> pl.DataFrame:
    """Without parts that have a group, contact or room."""
    return rows.filter(~pl.col("kind").is_in(CLOSED).any().over("part"))


def _pair_key(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Two texts as one key; the length keeps ("ab", "c") and ("a", "bc") apart."""
    return pl.concat_str(first.str.len_bytes(), pl.lit(":"), first, second)


def _same_upn(rows: pl.DataFrame) -> pl.DataFrame:
    """The UPN within a system, for objects of exports without ids (M365 admin centre, Intune's user columns).

    Objects with ids only join through such an object: a UPN that was reassigned belongs to two people.
    """
    key = _pair_key(system(), pl.col("upn"))
    keyed = rows.filter(pl.col("kind") != "group").with_columns(key=key)
    without = keyed.filter(pl.all_horizontal(pl.col(name).is_null() for name in IMMUTABLE))
    return keyed.join(without, on="key", how="semi").select("node", "key")


def _address_and_id(rows: pl.DataFrame) -> pl.DataFrame:
    """The primary address with the account's short name or the employee id."""
    rows = _without_closed(rows)
    names = [("sam", "sam_account"), ("sam", "onprem_sam"), ("employee", "employee_id")]
    pairs = [
        rows.select("node", key=_pair_key(pl.lit(kind) + pl.col("primary_smtp"), pl.col(name).str.to_lowercase()))
        for kind, name in names
    ]
    return pl.concat(pairs)


def _address(rows: pl.DataFrame) -> pl.DataFrame:
    """The primary address; for guests also `mail`, if a member has it."""
    rows = _without_closed(rows)
    primary = rows.select("node", "guest", key="mail " + pl.col("primary_smtp"))
    mails = rows.select("node", "guest", key="mail " + pl.col("mail").str.strip_chars().str.to_lowercase())
    guests = mails.filter("guest").select("node", "key")
    members = pl.concat([primary, mails]).filter(~pl.col("guest")).select("node", "key")
    return pl.concat(
        [rows.select("node", key="primary " + pl.col("primary_smtp")), _keys_on_both_sides(guests, members)]
    )


RULES = (
    *(Rule("id", _same(name)) for name in IMMUTABLE),
    Rule("upn", _same_upn),
    Rule("sid", _twins(pl.col("onprem_sid"), pl.col("ad_sid"))),
    Rule("guid", _twins(pl.col("onprem_guid"), pl.col("ad_guid"), pl.col("ad_anchor"))),
    Rule("dn", _twins(pl.col("onprem_dn").str.to_lowercase(), pl.col("ad_dn"), persons_only=True)),
    Rule(
        "sam",
        _twins(
            _pair_key(pl.col("onprem_domain").str.to_lowercase(), pl.col("onprem_sam").str.to_lowercase()),
            _pair_key(pl.col("domain"), pl.col("sam_account")),
            persons_only=True,
        ),
    ),
    Rule(
        "upn",
        _twins(
            pl.col("onprem_upn").str.to_lowercase(),
            pl.when(system() == "ad").then(pl.col("upn")),
            persons_only=True,
        ),
    ),
    Rule("address+id", _address_and_id),
    Rule("address", _address),  # probable: no ID is the same
)
