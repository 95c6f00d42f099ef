"""The merge rules as a plain comparison of pairs, the oracle for the joins of columns."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

Row = Mapping[str, Any]
Pair = Callable[[Row, Row], bool]

CLOSED = {"group", "contact", "room"}
IDS = ("entra_id", "ad_sid", "ad_guid", "ad_dn")


def equal(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def system(row: Row) -> str:
    return "ad" if row["source"].startswith("ad") else "entra"


def same_class(one: Row, other: Row) -> bool:
    return (one["kind"] == "group") == (other["kind"] == "group")


def same(column: str) -> Pair:
    return lambda one, other: same_class(one, other) and equal(one[column], other[column])


def same_upn(one: Row, other: Row) -> bool:
    bare = any(all(row[name] is None for name in IDS) for row in (one, other))
    groups = "group" in (one["kind"], other["kind"])
    return bare and not groups and system(one) == system(other) and equal(one["upn"], other["upn"])


def twins(left: str, *right: str) -> Pair:
    def rule(one: Row, other: Row) -> bool:
        met = [equal(a[left], b[name]) for a, b in ((one, other), (other, one)) for name in right]
        return same_class(one, other) and any(met)

    return rule


def same_account(one: Row, other: Row) -> bool:
    return any(
        equal(a["onprem_domain"], b["domain"]) and equal(a["onprem_sam"], b["sam_account"])
        for a, b in ((one, other), (other, one))
    )


def same_onprem_upn(one: Row, other: Row) -> bool:
    return any(system(b) == "ad" and equal(a["onprem_upn"], b["upn"]) for a, b in ((one, other), (other, one)))


def address_and_id(one: Row, other: Row) -> bool:
    names = [{row["sam_account"], row["onprem_sam"]} - {None} for row in (one, other)]
    number = equal(one["employee_id"], other["employee_id"])
    return equal(one["primary_smtp"], other["primary_smtp"]) and (number or bool(names[0] & names[1]))


def address(one: Row, other: Row) -> bool:
    guest = any(
        a["guest"] and not b["guest"] and a["mail"] is not None and a["mail"] in (b["mail"], b["primary_smtp"])
        for a, b in ((one, other), (other, one))
    )
    return guest or equal(one["primary_smtp"], other["primary_smtp"])


RULES: list[tuple[Pair, bool]] = [
    *((same(name), False) for name in IDS),
    (same_upn, False),
    (twins("onprem_sid", "ad_sid"), False),
    (twins("onprem_guid", "ad_guid", "ad_anchor"), False),
    (twins("onprem_dn", "ad_dn"), True),
    (same_account, True),
    (same_onprem_upn, True),
    (address_and_id, True),
    (address, True),
]


def is_guest(row: Row, rows: list[Row]) -> bool:
    of_id = [other for other in rows if equal(other["entra_id"], row["entra_id"])] or [row]
    types = {other["user_type"] or ("Guest" if other["kind"] == "guest" else None) for other in of_id}
    return "Guest" in types and (row["entra_id"] is None or "Member" not in types)


def allowed(rows: list[Row]) -> bool:
    """Whether one person may hold all of these objects."""
    sids = {row[name] for row in rows for name in ("ad_sid", "onprem_sid")} - {None}
    guids = {row["ad_guid"] for row in rows} - {None}
    members = {row["entra_id"] for row in rows if not row["guest"]} - {None}
    return len(sids) <= 1 and len(guids) <= 1 and len(members) <= 1


def persons(rows: list[Row]) -> set[frozenset[tuple[str, str]]]:
    """The objects of each person, as (source, object_key)."""
    rows = [{**row, "guest": is_guest(row, rows)} for row in rows]
    parts = [[row] for row in rows]
    for rule, persons_only in RULES:
        parts = _joined(parts, rule, persons_only=persons_only)
    return {frozenset((row["source"], row["object_key"]) for row in part) for part in parts}


def _joined(parts: list[list[Row]], rule: Pair, *, persons_only: bool) -> list[list[Row]]:
    closed = [persons_only and any(row["kind"] in CLOSED for row in part) for part in parts]
    group = list(range(len(parts)))
    for a, b in combinations(range(len(parts)), 2):
        if not closed[a] and not closed[b] and any(rule(one, other) for one in parts[a] for other in parts[b]):
            group = [group[a] if label == group[b] else label for label in group]
    result = []
    for label in sorted(set(group)):
        joining = [part for part, mine in zip(parts, group, strict=True) if mine == label]
        together = [row for part in joining for row in part]
        result += [together] if allowed(together) else joining
    return result
