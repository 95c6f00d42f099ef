"""Grouping: the sweep and the id rule under all histories."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tasks.groups.grouping import assign_ids, partition

START = datetime(2026, 3, 1, tzinfo=UTC)
GAP, SPAN = timedelta(hours=24), timedelta(hours=168)
SCHEMA = {"alert_id": pl.String, "group_key": pl.String, "detected_at": pl.Datetime("us", "UTC")}

alerts = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1000), st.integers(0, 59)), min_size=1, max_size=60)


def frame(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    """Alerts of a key at whole hours and minutes after the start."""
    moments = [START + timedelta(hours=hour, minutes=minute) for _, hour, minute in rows]
    ids = [f"{number:032x}" for number in range(len(rows))]
    return pl.DataFrame({"alert_id": ids, "group_key": [row[0] for row in rows], "detected_at": moments}, SCHEMA)


def swept(members: pl.DataFrame, gap: timedelta, span: timedelta) -> set[frozenset[str]]:
    """The rule of grouping, alert by alert."""
    groups: list[list[str]] = []
    key = first = last = None
    for row in members.sort("group_key", "detected_at", "alert_id").iter_rows(named=True):
        at = row["detected_at"]
        starts = key != row["group_key"] or (gap and at - last > gap) or (span and at - first > span)
        if starts:
            groups.append([])
            key, first = row["group_key"], at
        groups[-1].append(row["alert_id"])
        last = at
    return {frozenset(group) for group in groups}


def parts(members: pl.DataFrame) -> set[frozenset[str]]:
    return {frozenset(ids) for ids in members.group_by("part").agg("alert_id")["alert_id"].to_list()}


@given(alerts, st.sampled_from([GAP, timedelta(0)]), st.sampled_from([SPAN, timedelta(hours=30), timedelta(0)]))
def test_partition_equals_sweep(rows: list[tuple[str, int, int]], gap: timedelta, span: timedelta) -> None:
    members = frame(rows)
    assert parts(partition(members, gap, span)) == swept(members, gap, span)


@given(st.permutations(range(12)))
def test_partition_is_independent_of_row_order(order: list[int]) -> None:
    members = frame([("a", 20 * number, 0) for number in range(12)])
    assert parts(partition(members[order], GAP, SPAN)) == parts(partition(members, GAP, SPAN))


def test_alert_exactly_at_limit_joins() -> None:
    assert parts(partition(frame([("a", 0, 0), ("a", 24, 0)]), GAP, SPAN)) == {frozenset(f"{n:032x}" for n in (0, 1))}
    edge = [("a", hour, 0) for hour in range(0, 169, 24)]
    assert len(parts(partition(frame(edge), GAP, SPAN))) == 1
    assert len(parts(partition(frame([*edge, ("a", 168, 1)]), GAP, SPAN))) == 2
    assert len(parts(partition(frame([("a", 0, 0), ("a", 24, 1)]), GAP, SPAN))) == 2


def members_of(*rows: tuple[str, int, int, str | None]) -> pl.DataFrame:
    """alert_id, part, load_no, group_id"""
    return pl.DataFrame(
        rows,
        {"alert_id": pl.String, "part": pl.UInt32, "load_no": pl.Int64, "group_id": pl.String},
        orient="row",
    )


def known_ids(*names: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"group_id": names, "created_no": range(len(names))}, {"group_id": pl.String, "created_no": pl.Int64}
    )


def groups_of(assigned: pl.DataFrame) -> dict[str, str]:
    return dict(assigned.select("alert_id", "group_id").rows())


def test_group_without_id_is_named_after_earliest_loaded_member() -> None:
    done = assign_ids(members_of(("x", 0, 7, None), ("y", 0, 3, None)), known_ids(), 0)
    assert groups_of(done.members) == {"x": "y", "y": "y"}
    assert done.created.rows() == [("y", 0)]


def test_used_id_is_not_reused() -> None:
    done = assign_ids(members_of(("x", 0, 1, "g"), ("g", 1, 2, "g")), known_ids("g"), 1)
    groups = groups_of(done.members)
    assert groups["x"] == "g"
    assert groups["g"] not in {"g", "x"}
    assert len(groups["g"]) == 32


def test_joined_groups_keep_oldest_id() -> None:
    done = assign_ids(members_of(("x", 0, 1, "new"), ("y", 0, 2, "old"), ("z", 0, 3, None)), known_ids("old", "new"), 2)
    assert groups_of(done.members) == {"x": "old", "y": "old", "z": "old"}
    assert done.ended.rows() == [("new", "old")]


def test_split_group_leaves_id_with_earliest_loaded_member() -> None:
    done = assign_ids(members_of(("x", 0, 2, "g"), ("y", 1, 1, "g")), known_ids("g"), 1)
    assert groups_of(done.members) == {"x": "x", "y": "g"}
    assert done.ended.is_empty()


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "g0", "g1", "g2"])), min_size=1, max_size=20))
def test_every_old_id_leads_to_a_present_group(rows: list[tuple[int, str | None]]) -> None:
    members = members_of(*((f"a{n}", part, n, old) for n, (part, old) in enumerate(rows)))
    done = assign_ids(members, known_ids("g0", "g1", "g2"), 3)
    living = set(done.members["group_id"])
    by_part = done.members.group_by("part").agg(pl.col("group_id").n_unique())
    assert by_part["group_id"].to_list() == [1] * len(by_part)
    assert len(living) == len(by_part)
    for old in {old for _, old in rows} - {None}:
        assert old in living or dict(done.ended.rows())[old] in living
