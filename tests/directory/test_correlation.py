"""Matching of recipients: rules as rows of a table, and properties of any input."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.alerts import MOMENT
from tasks.directory.match.correlation import BEGINNING, Directory, ResolvedRecipients, resolve_recipients
from tests.examples import examples

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ALIASES = {"legacy.example": "contoso.example"}

ADDRESS = {
    "address": pl.String, "user_id": pl.String, "rank": pl.Int8, "rule": pl.String, "source": pl.String,
    "valid_from": MOMENT, "gone_at": MOMENT,
}  # fmt: skip
RANKS = {"primary": 1, "alias": 2, "mail": 3, "upn": 5, "other": 7}


def address(
    text: str, user: str, rule: str = "primary", since: datetime = BEGINNING, gone: datetime | None = None
) -> Any:
    return {
        "address": text, "user_id": user, "rank": RANKS[rule], "rule": rule, "source": "users",
        "valid_from": since, "gone_at": gone,
    }  # fmt: skip


def person(
    user: str, kind: str = "person", *, enabled: bool | None = True, seen: datetime = DAY, mail_user: bool = False
) -> Any:
    return {
        "user_id": user, "kind": kind, "account_enabled": enabled, "mail_user": mail_user, "last_seen_at": seen,
    }  # fmt: skip


def directory(
    addresses: list[Any], people: list[Any] | None = None, *, aliases: bool = True, lost: bool = False
) -> Directory:
    known = people or [person(user) for user in {row["user_id"] for row in addresses}]
    frame = pl.DataFrame(addresses, schema=ADDRESS)
    own = frame.filter(pl.col("rank") <= 5)["address"].str.extract(r"@(.*)$").unique()
    return Directory(
        frame,
        pl.DataFrame(
            known,
            schema={
                "user_id": pl.String,
                "kind": pl.String,
                "account_enabled": pl.Boolean,
                "mail_user": pl.Boolean,
                "last_seen_at": MOMENT,
            },
        ),
        pl.DataFrame(
            {"source": ["users"], "has_aliases": [aliases], "aliases_lost": [lost]},
            schema={"source": pl.String, "has_aliases": pl.Boolean, "aliases_lost": pl.Boolean},
        ),
        pl.DataFrame(
            {"source": ["users"], "imported_at": [DAY], "snapshot_at": [DAY]},
            schema={"source": pl.String, "imported_at": MOMENT, "snapshot_at": MOMENT},
        ),
        own,
    )


def resolved(recipient: str, found: Directory, *, plus: bool = True) -> ResolvedRecipients:
    return resolve_recipients(pl.Series([recipient]), found, ALIASES, plus_addressing=plus)


def meant(recipient: str, found: Directory, **how: bool) -> tuple[str | None, str, str | None]:
    """user, state and rule of the only period"""
    row: tuple[str | None, str, str | None] = (
        resolved(recipient, found, **how).recipients.select("user_id", "match_state", "match_rule").row(0)
    )
    return row


ANN = [address("ann@contoso.example", "ann"), address("a.lee@contoso.example", "ann", "alias")]


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("ann@contoso.example", ("ann", "matched", "primary")),
        ("  Ann@CONTOSO.example ", ("ann", "matched", "primary")),
        ("a.lee@contoso.example", ("ann", "matched", "alias")),
        ("ann@legacy.example", ("ann", "matched", "primary, domain alias")),
        ("ann+news@contoso.example", ("ann", "matched", "primary, without tag")),
        ("ann+a+b@contoso.example", ("ann", "matched", "primary, without tag")),
        ("a.lee+x@legacy.example", ("ann", "matched", "alias, domain alias, without tag")),
        ("+ann@contoso.example", (None, "unmatched", None)),
        ("bob@contoso.example", (None, "unmatched", None)),
        ("not an address", (None, "unmatched", None)),
    ],
)
def test_recipient_matched_by_route(recipient: str, expected: Any) -> None:
    assert meant(recipient, directory(ANN)) == expected


LEE = [*ANN, address("lee@contoso.example", "lee"), address("bounces@contoso.example", "bounces")]


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("prvs=1a2b3c4d=ann@contoso.example", ("ann", "matched", "primary, BATV")),
        ("PRVS=0123456789=a.lee@contoso.example", ("ann", "matched", "alias, BATV")),
        ("msprvs1=17926ugUhvb9f=ann@contoso.example", ("ann", "matched", "primary, BATV")),
        ("prvs=ann=1a2b3c4d5e@contoso.example", ("ann", "matched", "primary, BATV")),
        ("btv1==076f1b4c3==ann@contoso.example", ("ann", "matched", "primary, BATV")),
        ("prvs=1a2b3c4d=ann+x@legacy.example", ("ann", "matched", "primary, BATV, domain alias, without tag")),
        ("SRS0=HHH=TT=contoso.example=ann@forwarder.example", ("ann", "matched", "primary, SRS")),
        ("SRS0+ab12=3C=legacy.example=ann@forwarder.example", ("ann", "matched", "primary, SRS, domain alias")),
        ("SRS1=HH=first.example==HHH=TT=contoso.example=ann@second.example", ("ann", "matched", "primary, SRS")),
        ("bounces+ann=contoso.example@lists.example", ("ann", "matched", "primary, VERP")),
        ("bounces+12-ab-ann=contoso.example@lists.example", ("ann", "matched", "primary, VERP")),
        ("list-bounces-a.lee=contoso.example@lists.example", ("ann", "matched", "alias, VERP")),
        ("ann=contoso.example@lists.example", ("ann", "matched", "primary, VERP")),
        # the mailbox of the list, which receives it, before the address in it
        ("bounces-ann=contoso.example@contoso.example", ("bounces", "matched", "primary, VERP list")),
        ("bounces+ann=contoso.example@contoso.example", ("bounces", "matched", "primary, without tag")),
        ("bounces-bob=elsewhere.example@contoso.example", ("bounces", "matched", "primary, VERP list")),
        ("prvs=1a2b3c4d=bob@contoso.example", (None, "unmatched", None)),
        ("srs0=hhh=tt=elsewhere.example=ann@contoso.example", (None, "unmatched", None)),
        ("a=b@contoso.example", (None, "unmatched", None)),
    ],
)
def test_rewritten_sender_matched_by_route_of_its_own(recipient: str, expected: Any) -> None:
    assert meant(recipient, directory(LEE)) == expected


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("'ann@contoso.example'", ("ann", "matched", "primary, malformed")),
        ("'ann@contoso.example", ("ann", "matched", "primary, malformed")),
        ('"Ann Lee <ann@contoso.example>"', ("ann", "matched", "primary, malformed")),
        ("Ann Lee <Ann@contoso.example>", ("ann", "matched", "primary, malformed")),
        ("<'ann+x@legacy.example'>", ("ann", "matched", "primary, malformed, domain alias, without tag")),
        ("ann@contoso.example;zoe@elsewhere.example", ("ann", "matched", "primary, malformed")),
        ("ann@contoso.example, a.lee@contoso.example", ("ann", "matched", "primary, malformed")),
        ("ann@contoso.example lee@contoso.example", (None, "ambiguous", "primary, malformed")),
        ("lee@contoso.example;a.lee@contoso.example", (None, "ambiguous", "primary, malformed")),
        ("ann lee@contoso.example", (None, "unmatched", None)),
        ("Ann Lee ann@contoso.example", (None, "unmatched", None)),
        ("o'ann@contoso.example", (None, "unmatched", None)),
    ],
)
def test_malformed_recipient_matched_where_unambiguous(recipient: str, expected: Any) -> None:
    assert meant(recipient, directory(LEE)) == expected


def test_ordinary_address_precedes_the_address_in_it() -> None:
    wrapped = "prvs=1a2b3c4d=ann@contoso.example"
    found = directory([*ANN, address(wrapped, "list", "other")])
    assert meant(wrapped, found) == ("list", "matched", "other")


def test_each_address_of_a_malformed_recipient_resolved_by_itself() -> None:
    people = [person("ann"), person("lee", enabled=False), person("bounces")]
    found = resolved("ann@contoso.example;lee@contoso.example", directory(LEE, people))
    assert sorted(found.candidates["user_id"]) == ["ann", "lee"]


def test_tag_ignored_without_plus_addressing() -> None:
    assert meant("ann+news@contoso.example", directory(ANN), plus=False)[1] == "unmatched"


def test_exact_address_precedes_address_without_tag() -> None:
    found = directory([*ANN, address("ann+news@contoso.example", "list", "other")])
    assert meant("ann+news@contoso.example", found) == ("list", "matched", "other")


def test_best_rank_used() -> None:
    found = directory([address("x@contoso.example", "upn", "upn"), address("x@contoso.example", "mail", "mail")])
    assert meant("x@contoso.example", found)[0] == "mail"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (person("one"), person("other", enabled=False)),
        (person("one", enabled=None), person("other", enabled=False)),
        (person("one"), person("other", "guest")),
        (person("one"), person("other", "contact")),
        (person("one", "shared"), person("other", "contact")),
        (person("one", seen=DAY - timedelta(days=1)), person("other", mail_user=True)),
        (person("one", seen=DAY), person("other", seen=DAY - timedelta(days=1))),
        # in this order: an enabled guest is preferred to a disabled member
        (person("one", "guest"), person("other", enabled=False)),
    ],
)
def test_tie_broken_by_account(one: Any, other: Any) -> None:
    found = directory([address("x@contoso.example", "one"), address("x@contoso.example", "other")], [other, one])
    assert meant("x@contoso.example", found) == ("one", "matched", "primary")


def test_remaining_tie_ambiguous_with_all_candidates() -> None:
    found = directory([address("x@contoso.example", "one"), address("x@contoso.example", "other")])
    both = resolved("x@contoso.example", found)
    assert meant("x@contoso.example", found) == (None, "ambiguous", "primary")
    assert sorted(both.candidates["user_id"]) == ["one", "other"]
    assert both.candidates["ambiguous"].all()


def test_mail_group_matched_without_person() -> None:
    found = directory([address("all@contoso.example", "all")], [person("all", "group", enabled=None)])
    assert meant("all@contoso.example", found) == (None, "group", "primary")
    assert resolved("all@contoso.example", found).candidates["user_id"].to_list() == ["all"]


@pytest.mark.parametrize(
    ("recipient", "aliases", "reason"),
    [
        ("bob@contoso.example", True, "unknown address"),
        ("bob@contoso.example", False, "unknown address; no imported source has aliases"),
        ("bob@legacy.example", True, "unknown address"),
        ("bob@elsewhere.example", True, "external domain"),
        ("bob", True, "malformed address"),
        ("ann lee@contoso.example", True, "malformed address"),
        ("'bob@contoso.example'", True, "unknown address"),
        ("bob@contoso.example;zoe@elsewhere.example", True, "unknown address"),
        ('"Bob <bob@contoso.example>"', True, "unknown address"),
        ("prvs=1a2b3c4d=bob@contoso.example", True, "unknown address"),
        ("srs0=hhh=tt=contoso.example=bob@forwarder.example", True, "unknown address"),
        ("'zoe@elsewhere.example'", True, "external domain"),
        ("prvs=1a2b3c4d=zoe@elsewhere.example", True, "external domain"),
    ],
)
def test_unmatched_recipient_has_reason(recipient: str, aliases: bool, reason: str) -> None:
    row = resolved(recipient, directory(ANN, aliases=aliases)).recipients.row(0, named=True)
    assert (row["match_state"], row["reason"]) == ("unmatched", reason)


def test_lost_aliases_named_in_reason() -> None:
    found = directory(ANN, aliases=False, lost=True)
    (reason,) = resolved("bob@contoso.example", found).recipients["reason"]
    assert reason == "unknown address; type names instead of aliases in users"


def test_reassigned_address_matched_by_time() -> None:
    moved = DAY + timedelta(days=10)
    found = directory([
        address("sales@contoso.example", "ann", gone=moved), address("sales@contoso.example", "bob", since=moved),
    ])  # fmt: skip
    rows = resolved("sales@contoso.example", found).recipients.select("valid_from", "valid_to", "user_id").rows()
    assert rows == [(BEGINNING, moved, "ann"), (moved, None, "bob")]


def test_newest_address_used_outside_validity() -> None:
    gone = DAY + timedelta(days=5)
    found = directory([address("ann@contoso.example", "ann", since=DAY, gone=gone)])
    rows = resolved("ann@contoso.example", found).recipients.select("valid_from", "user_id", "match_rule").rows()
    assert rows == [
        (BEGINNING, "ann", "primary, not valid then"),
        (DAY, "ann", "primary"),
        (gone, "ann", "primary, not valid then"),
    ]


MOMENTS = st.integers(0, 6).map(lambda day: DAY + timedelta(days=day))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a@contoso.example", "a+b@contoso.example", "c@legacy.example"]),
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(sorted(RANKS)),
        st.one_of(st.just(BEGINNING), MOMENTS),
        st.one_of(st.none(), MOMENTS),
    ),
    max_size=8,
)
ASKED = pl.Series(["a@contoso.example", "a+b@contoso.example", "c@legacy.example", "c+x@legacy.example", "z@x.example"])


@examples(20)
@given(ROWS, st.randoms(use_true_random=False))
def test_every_moment_has_one_result_in_any_order(rows: list[Any], order: Any) -> None:
    addresses = [address(*row) for row in rows if row[4] is None or row[3] < row[4]]
    people = [person("one"), person("two", "guest"), person("three", enabled=False)]
    found = resolve_recipients(ASKED, directory(addresses, people), ALIASES, plus_addressing=True)
    order.shuffle(addresses)
    again = resolve_recipients(ASKED, directory(addresses, people), ALIASES, plus_addressing=True)
    key = ["recipient", "valid_from"]
    assert found.recipients.sort(key).equals(again.recipients.sort(key))
    for _, periods in found.recipients.sort(key).group_by("recipient"):
        assert periods["valid_from"][0] == BEGINNING
        assert periods["valid_to"].to_list() == [*periods["valid_from"][1:], None]
    counts = found.candidates.group_by(key).len()
    states = found.recipients.join(counts, on=key, how="left").select("match_state", pl.col("len").fill_null(0)).rows()
    assert all(
        (state, count > 1) in {("ambiguous", True), ("matched", False), ("unmatched", False)} for state, count in states
    )
    assert all((state == "unmatched") == (count == 0) for state, count in states)
