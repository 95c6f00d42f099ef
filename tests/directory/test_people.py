"""Merging of objects into people: pairs of files in `same_person`, and properties of any input."""

import json
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.merge.connected_components import connected_components
from tasks.directory.merge.people import MERGED_SCHEMA, PEOPLE_SCHEMA, merge_people, people
from tasks.directory.model import KINDS
from tests.directory.person_rules import persons
from tests.directory.synthetic import OBJECTS, SEEN, filled
from tests.examples import examples

PAIRS = Path(__file__).with_name("same_person")
NAMES = sorted(path.stem for path in PAIRS.glob("*.json") if not path.stem.endswith(".expected"))

Row = dict[str, Any]


def frame(rows: list[Row]) -> pl.DataFrame:
    """Objects: persons first seen on one day, by default."""
    rows = [{"kind": "person", "first_seen_at": SEEN, **row} for row in rows]
    columns = {name for row in rows for name in row}
    return filled(pl.DataFrame(rows, {name: kind for name, kind in OBJECTS.items() if name in columns}), OBJECTS)


def ids(merged: pl.DataFrame) -> dict[str, str]:
    return {f"{source} {key}": user_id for source, key, user_id, _ in merged.rows()}


def parts(merged: pl.DataFrame) -> set[frozenset[tuple[str, str]]]:
    found = defaultdict(set)
    for source, key, user_id, _ in merged.rows():
        found[user_id].add((source, key))
    return {frozenset(part) for part in found.values()}


def shown(merged: pl.DataFrame) -> list[Row]:
    """As the files of a pair have it."""
    found: dict[str, Row] = {}
    for source, key, user_id, rules in merged.rows():
        found.setdefault(user_id, {"objects": [], "merge_rules": rules})["objects"].append(f"{source} {key}")
    return sorted(found.values(), key=lambda person: person["objects"])


@pytest.mark.parametrize("name", NAMES)
def test_objects_merged_as_in_pair(name: str) -> None:
    rows = json.loads((PAIRS / f"{name}.json").read_text(encoding="utf-8"))
    merged = merge_people(frame(rows))
    assert merged.schema == MERGED_SCHEMA
    assert shown(merged) == json.loads((PAIRS / f"{name}.expected.json").read_text(encoding="utf-8"))


def few(letter: str, *, often: int = 2) -> st.SearchStrategy[str | None]:
    """One of three values, or none."""
    return st.sampled_from([None] * often + [f"{letter}{number}" for number in range(3)])


SOURCES = ("entra-users", "graph-users", "m365-users", "ad-users", "ad")
FIELDS = {
    "source": st.sampled_from(SOURCES),
    "kind": st.sampled_from(("person", "person", "person", "guest", *KINDS)),
    "user_type": st.sampled_from([None, None, "Member", "Guest"]),
    "upn": few("n"),
    "mail": few("m"),
    "primary_smtp": few("m"),
    "employee_id": few("w", often=5),
    "sam_account": few("u", often=3),
    "onprem_sam": few("u", often=3),
    "domain": st.sampled_from([None, "d"]),
    "onprem_domain": st.sampled_from([None, "d"]),
    **{name: few("g", often=4) for name in ("ad_guid", "ad_anchor", "onprem_guid")},
    **{name: few("s", often=4) for name in ("ad_sid", "onprem_sid")},
    **{name: few("c", often=5) for name in ("ad_dn", "onprem_dn")},
    "entra_id": few("e"),
    "onprem_upn": few("n", often=5),
}
_SPARSE = [name for name in FIELDS if name not in ("source", "kind")]


@st.composite
def an_object(draw: st.DrawFn) -> Row:
    """An object with a few identifiers: with all of them it would contradict every other object."""
    chosen = draw(st.sets(st.sampled_from(_SPARSE), min_size=1, max_size=6))
    return {name: draw(value) if name in chosen or name not in _SPARSE else None for name, value in FIELDS.items()}


@st.composite
def directories(draw: st.DrawFn, max_size: int = 9) -> list[Row]:
    rows = draw(st.lists(an_object(), min_size=1, max_size=max_size))
    return [{**row, "object_key": f"k{number}"} for number, row in enumerate(rows)]


EARLIER = st.sampled_from([None, None, *(f"00000000-0000-0000-0000-00000000000{number}" for number in range(4))])
DAYS = st.integers(0, 3)


@st.composite
def with_history(draw: st.DrawFn) -> list[Row]:
    """Objects that earlier imports gave ids to, in any way."""
    rows = draw(directories())
    return [{**row, "user_id": draw(EARLIER), "first_seen_at": SEEN + timedelta(days=draw(DAYS))} for row in rows]


def again(objects: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """The objects with the ids that they got, as the store has them at the next import."""
    named = merged.select("source", "object_key", "user_id")
    return filled(objects.drop("user_id").join(named, on=["source", "object_key"]), OBJECTS)


@examples(25)
@given(directories())
def test_merge_equals_rules_applied_pair_by_pair(rows: list[Row]) -> None:
    merged = merge_people(frame(rows))
    assert parts(merged) == persons(frame(rows).to_dicts())


@examples(15)
@given(with_history(), st.randoms(use_true_random=False))
def test_order_of_rows_has_no_effect(rows: list[Row], chance: Any) -> None:
    shuffled = chance.sample(rows, len(rows))
    assert merge_people(frame(rows)).rows() == merge_people(frame(shuffled)).rows()


@examples(15)
@given(directories())
def test_person_has_at_most_one_account(rows: list[Row]) -> None:
    objects = frame(rows)
    held = objects.drop("user_id").join(merge_people(objects), on=["source", "object_key"])
    counts = held.group_by("user_id").agg(pl.col("ad_sid").drop_nulls().n_unique(), pl.len())
    alone = held.filter(pl.col("user_type") == "Member", pl.col("entra_id").is_not_null())
    members = alone.group_by("user_id").agg(pl.col("entra_id").n_unique())
    assert counts["ad_sid"].max() in (0, 1)
    assert members["entra_id"].max() in (None, 1)


@examples(15)
@given(with_history())
def test_repeated_merge_changes_nothing(rows: list[Row]) -> None:
    objects = frame(rows)
    merged = merge_people(objects)
    assert merge_people(again(objects, merged)).rows() == merged.rows()


@examples(15)
@given(with_history())
def test_id_unique_and_kept_by_object_first_seen(rows: list[Row]) -> None:
    objects = frame(rows)
    merged = merge_people(objects)
    assert parts(merged) == persons(objects.to_dicts())  # ids never join or split anybody
    now = ids(merged)
    holders = defaultdict(list)
    for row in objects.sort("first_seen_at", "source", "object_key").iter_rows(named=True):
        holders[row["user_id"]].append(now[f"{row['source']} {row['object_key']}"])
    earlier = set(holders) - {None}
    for old, (first, *others) in ((old, held) for old, held in holders.items() if old):
        assert first in earlier
        assert old == first or old not in others


@examples(15)
@given(directories(max_size=6), directories(max_size=4))
def test_ids_kept_after_another_source(rows: list[Row], more: list[Row]) -> None:
    objects = frame(rows)
    before = merge_people(objects)
    added = [{**row, "source": f"{row['source']}-2", "first_seen_at": SEEN + timedelta(days=1)} for row in more]
    after = ids(merge_people(pl.concat([again(objects, before), frame(added)])))
    known = set(before["user_id"])
    for part in parts(before):
        now = [after[f"{source} {key}"] for source, key in part]
        assert known & set(now), "a person has new ids only"
        if len(set(now)) > 1:
            assert max(now.count(user) for user in set(now) & known) >= 1


def test_joined_people_keep_id_first_seen() -> None:
    sid, day = {"ad_sid": "S-1"}, timedelta(days=1)
    old, new = "22222222-0000-0000-0000-000000000000", "11111111-0000-0000-0000-000000000000"
    rows = [
        {"source": "ad", "object_key": "a", **sid, "user_id": new, "first_seen_at": SEEN + day},
        {"source": "ad-users", "object_key": "b", **sid, "user_id": old},
        {"source": "ad-lab", "object_key": "c", **sid},
    ]
    assert set(ids(merge_people(frame(rows))).values()) == {old}
    rows[0]["first_seen_at"] = SEEN
    assert set(ids(merge_people(frame(rows))).values()) == {new}


def test_split_person_leaves_id_with_object_first_seen() -> None:
    mine = {"user_id": "22222222-0000-0000-0000-000000000000"}
    found = ids(
        merge_people(
            frame(
                [
                    {"source": "ad", "object_key": "a", "ad_sid": "S-1", **mine, "first_seen_at": SEEN + timedelta(1)},
                    {"source": "ad", "object_key": "b", "ad_sid": "S-2", **mine},
                ]
            )
        )
    )
    assert found["ad b"] == mine["user_id"]
    assert found["ad a"] != mine["user_id"]


def test_id_of_member_precedes_id_of_guest() -> None:
    mail = {"mail": "anna@contoso.example", "primary_smtp": "anna@contoso.example"}
    member = {"source": "graph-users", "object_key": "m", "entra_id": "m", "user_type": "Member", **mail}
    guest = {"source": "graph-users", "object_key": "g", "entra_id": "a", "user_type": "Guest", **mail}
    (alone,) = ids(merge_people(frame([member]))).values()
    assert set(ids(merge_people(frame([guest, member]))).values()) == {alone}
    day = {"first_seen_at": SEEN + timedelta(days=1)}
    both = frame([{**guest, "user_id": "0" * 36}, {**member, **day, "user_id": alone}])
    assert set(ids(merge_people(both)).values()) == {alone}


def test_new_id_derived_from_strongest_identifier() -> None:
    """Ids are stored: deriving them differently would rename everybody on new sites."""
    identifiers = {
        "entra_id": "6e7b768e-07e2-4810-8459-485f84f8f204",
        "ad_sid": "S-1-5-21-1-2-3-1001",
        "ad_guid": "d08f810b-a35c-49a8-8d5c-2b7cd9a1a4b5",
        "ad_dn": "cn=anna,dc=contoso,dc=example",
        "upn": "anna@contoso.example",
        "primary_smtp": "anna@contoso.example",
    }
    found = []
    for name in [*identifiers, None]:
        (one,) = ids(merge_people(frame([{"source": "ad", "object_key": "k", **identifiers}]))).values()
        found.append(one)
        identifiers.pop(str(name), None)
    assert found == NEW_IDS


NEW_IDS = [
    "f6d09f01-4ec7-44f6-fab1-64833e6cf1f7",
    "1780cbe5-10e5-87fd-84a7-8f130a3dcb13",
    "5fda8bc9-d90a-519e-41bf-424cc1d75bea",
    "46671824-045c-ff5e-869f-37f55d250ef6",
    "c1efeca5-c8ef-8838-0948-77af7a792deb",
    "d2d252e0-bec5-1afd-75ed-46417f31c9a4",
    "23c86de6-7a13-2d65-e1be-0db9b33b06ba",
]
"""Ids that stores hold by now: a change here would tear people from their history."""


def test_two_contacts_with_same_upn_have_two_ids() -> None:
    same = {"upn": "anna@contoso.example", "kind": "contact"}
    rows = [{"source": "ad-users", "object_key": "a", **same}, {"source": "entra-users", "object_key": "b", **same}]
    found = ids(merge_people(frame(rows)))
    (alone,) = ids(merge_people(frame(rows[:1]))).values()
    assert len({alone, *found.values()}) == 3
    # ... and whoever comes later does not take the other's.
    later = ids(merge_people(frame([{**rows[0], "user_id": alone}, rows[1]])))
    assert later["ad-users a"] == alone != later["entra-users b"]


def test_values_by_precedence_of_sources() -> None:
    rows = [
        {"source": "ad-users", "object_key": "a", "ad_sid": "S-1", "display_name": "Anna (AD)", "department": "Sales"},
        {"source": "entra-users", "object_key": "e", "entra_id": "e", "onprem_sid": "S-1", "display_name": "Anna"},
        {"source": "graph-users", "object_key": "e", "entra_id": "e", "upn": "anna@contoso.example"},
        {"source": "intune-devices", "object_key": "i", "upn": "anna@contoso.example", "job_title": "Intern"},
    ]
    rows[0] |= {"account_enabled": True, "job_title": "Head", "kind": "shared"}
    rows[1] |= {"account_enabled": False}
    objects = frame(rows)
    found = people(objects, merge_people(objects))
    assert found.schema == PEOPLE_SCHEMA
    assert found.drop("user_id").to_dicts() == [
        {
            "display_name": "Anna",
            "upn": "anna@contoso.example",
            "mail": None,
            "department": "Sales",
            "job_title": "Head",
            "kind": "shared",
            "account_enabled": False,
            "mail_user": False,
            "sources": ["ad-users", "entra-users", "graph-users", "intune-devices"],
            "merge_rules": ["id", "sid", "upn"],
        }
    ]


def test_guest_who_is_also_member_is_person() -> None:
    guest = {"source": "graph-users", "object_key": "g", "entra_id": "g", "user_type": "Guest", "kind": "guest"}
    guest |= {"primary_smtp": "anna@contoso.example", "display_name": "A guest"}
    member = {"source": "entra-users", "object_key": "m", "entra_id": "m", "display_name": "Anna"}
    member |= {"primary_smtp": "anna@contoso.example", "user_type": "Member"}
    alone, both = frame([guest]), frame([guest, member])
    assert people(alone, merge_people(alone))["kind"].to_list() == ["guest"]
    found = people(both, merge_people(both))
    assert found.select("kind", "display_name").rows() == [("person", "Anna")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("person", "guest")])
def test_most_specific_kind_used(kind: str) -> None:
    objects = frame(
        [
            {"source": "graph-users", "object_key": "e", "ad_guid": "g" if kind != "group" else None},
            {"source": "ad", "object_key": "a", "ad_guid": "g", "kind": kind},
        ]
    )
    assert kind in people(objects, merge_people(objects))["kind"].to_list()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_components_equal_label_propagation(links: list[tuple[int, int]]) -> None:
    found = connected_components(pl.DataFrame(links, {"item": pl.UInt32, "key": pl.UInt32}, orient="row"))
    labels = {item: item for item, _ in links}
    for _ in labels:
        lowest: dict[int, int] = {}
        for item, key in links:
            lowest[key] = min(lowest.get(key, labels[item]), labels[item])
        for item, key in links:
            labels[item] = min(labels[item], lowest[key])
    assert dict(found.rows()) == labels


def test_long_chain_is_one_component() -> None:
    n = 20_000
    items = pl.DataFrame({"item": pl.int_range(n, eager=True, dtype=pl.UInt32)})
    links = pl.concat([items.with_columns(key=pl.col("item") + step) for step in (0, 1)])
    shuffled = links.with_columns((pl.col("item").cast(pl.UInt64) * 7919 % n).cast(pl.UInt32))
    for chain in (links, shuffled):
        assert connected_components(chain)["label"].unique().to_list() == [0]


def test_no_objects_no_people() -> None:
    none = pl.DataFrame(schema=OBJECTS)
    merged = merge_people(none)
    assert merged.schema == MERGED_SCHEMA
    assert people(none, merged).schema == PEOPLE_SCHEMA
