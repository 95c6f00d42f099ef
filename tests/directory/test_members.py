"""Members of mail groups: nested, in circles, too deep, too many."""

from collections import defaultdict

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.merge.members import expand_groups
from tasks.directory.merge.people import merge_people
from tasks.directory.merge.references import join_ids
from tests.directory.synthetic import MEMBERS, OBJECTS, SEEN, filled
from tests.examples import examples

GROUPS, PEOPLE = "GHIJ", "abc"


def expanded(edges: list[tuple[str, str]], **limits: int) -> tuple[dict[str, dict[str, int]], list[tuple[str, int]]]:
    """group → person → depth, and (problem, count); capital letters are groups."""
    rows = [
        {"source": "graph", "object_key": name, "entra_id": name, "first_seen_at": SEEN,
         "kind": "group" if name in GROUPS else "person"}
        for name in GROUPS + PEOPLE
    ]  # fmt: skip
    kinds = {name: kind for name, kind in OBJECTS.items() if name in rows[0]}
    objects = filled(pl.DataFrame(rows, kinds), OBJECTS)
    merged = merge_people(objects)
    named = [{"source": "graph", "group_key": group, "ref_kind": "entra_id", "ref": ref} for group, ref in edges]
    found = expand_groups(pl.DataFrame(named, MEMBERS), join_ids(objects, merged, "object_key", "user_id"), **limits)
    names = dict(merged.select("user_id", "object_key").rows())
    by_group: dict[str, dict[str, int]] = defaultdict(dict)
    for group, person, depth in found.members.select("group_id", "user_id", "depth").rows():
        by_group[names[group]][names[person]] = depth
    return dict(by_group), found.warnings.select("problem", "count").rows()


def test_nested_groups_expanded_and_cycles_once() -> None:
    edges = [("G", "a"), ("G", "H"), ("H", "b"), ("H", "I"), ("I", "G"), ("I", "c"), ("I", "a")]
    assert expanded(edges) == (
        {"G": {"a": 1, "b": 2, "c": 3}, "H": {"b": 1, "c": 2, "a": 2}, "I": {"c": 1, "a": 1, "b": 3}}, []
    )  # fmt: skip


def test_unknown_members_counted() -> None:
    assert expanded([("G", "a"), ("G", "nobody"), ("G", "noone")]) == ({"G": {"a": 1}}, [("unresolved", 2)])


def test_too_deep_and_too_large_groups_limited_with_warning() -> None:
    chain = [("G", "H"), ("H", "I"), ("I", "J"), ("J", "a")]
    members, warnings = expanded(chain, max_depth=2)
    assert (members, "too_deep" in dict(warnings)) == ({"I": {"a": 2}, "J": {"a": 1}}, True)
    members, warnings = expanded([("G", "a"), ("G", "b"), ("G", "c")], max_members=2)
    assert (members, warnings) == ({}, [("too_large", 3)])


@examples(20)
@given(st.lists(st.tuples(st.sampled_from(GROUPS), st.sampled_from(GROUPS + PEOPLE)), max_size=12))
def test_members_equal_reachable_people(edges: list[tuple[str, str]]) -> None:
    members, _ = expanded(edges)
    for group in GROUPS:
        reached, open_ = set(), {group}
        while open_:
            reached |= open_
            open_ = {member for holder, member in edges if holder in reached} - reached
        assert set(members.get(group, {})) == reached & set(PEOPLE)
