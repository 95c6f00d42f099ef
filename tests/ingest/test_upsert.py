"""Readings of the same scans, loaded in any batches, give the result of the rules in `version_rules`."""

from collections import Counter
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.alerts import PRIVATE
from tasks.ingest.scan_rows import STORED_SCHEMA
from tasks.ingest.upsert import merge_versions
from tests.examples import examples
from tests.ingest.version_rules import NOW, Rows, Rule
from tests.scans import HOUR, MAPS, START, Reading, frame, scan

EMPTY = pl.DataFrame(schema=STORED_SCHEMA)
COUNTED = ("new", "changed", "duplicates")


class LoadedScans:
    """The stored scans after some batches, with the changes and counts of these."""

    def __init__(self) -> None:
        self.stored = EMPTY
        self.changes: list[tuple[Any, ...]] = []
        self.counts: Counter[str] = Counter()

    def load(self, batch: pl.DataFrame, *, keep_low: bool = False, now: Any = NOW) -> "LoadedScans":
        """Apply a batch to the stored rows as a load does."""
        known = self.stored.join(batch, on="scan_id", how="semi")
        outcome = merge_versions(batch, known, keep_low, now)
        assert outcome.lows.schema == outcome.alerts.schema == STORED_SCHEMA
        assert outcome.lows["raised_at"].is_null().all() and outcome.alerts["raised_at"].is_not_null().all()
        assert outcome.new + outcome.changed + outcome.duplicates == len(batch)
        rest = self.stored.join(outcome.replaced, on="scan_id", how="anti")
        self.stored = pl.concat([rest, outcome.lows, outcome.alerts]).with_columns(place=pl.lit(-1, pl.Int64))
        assert self.stored["scan_id"].is_unique().all()
        self.changes += outcome.changes.rows()
        self.counts.update({name: getattr(outcome, name) for name in (*COUNTED, "raised")})
        return self

    @property
    def rows(self) -> Rows:
        return {row["scan_id"]: row for row in self.stored.drop("place", "load_no").iter_rows(named=True)}


def load_one_by_one(*readings: Reading, keep_low: bool = False) -> LoadedScans:
    """Each reading in a batch of its own."""
    state = LoadedScans()
    for each in readings:
        state.load(frame([each], keep_low=keep_low), keep_low=keep_low)
    return state


reading = st.fixed_dictionaries(
    {
        "hour": st.integers(0, 2),
        "verdict": st.sampled_from(["safe", "clean", "unsafe", "unknown", "timeout", "malicious", "new-word"]),
        "read": st.integers(1000, 1008),
        "response": st.sampled_from([None, "none, none", "user release, none"]),
        "subject": st.sampled_from([None, "Re"]),
        "details": st.sampled_from([None, "looks bad"]),
    }
).map(lambda fields: scan(**fields))
batches = st.lists(st.lists(reading, min_size=1, max_size=8), min_size=1, max_size=4)


@examples(40)
@given(batches, st.booleans())
def test_any_readings_in_any_order_end_as_the_rule_says(arriving: list[list[Reading]], keep_low: bool) -> None:
    rule, state = Rule(keep_low=keep_low), LoadedScans()
    for each in arriving:
        batch = frame(each, keep_low=keep_low)
        rule.read(batch)
        state.load(batch, keep_low=keep_low)
    assert state.rows == rule.rows
    assert Counter(state.changes) == Counter(rule.changes)
    assert [state.counts[name] for name in COUNTED] == [rule.counts[name] for name in COUNTED]


@examples(20)
@given(st.lists(reading, min_size=1, max_size=16), st.lists(st.integers(1, 15), max_size=3), st.booleans())
def test_limits_of_batches_do_not_change_the_result(readings: list[Reading], cuts: list[int], keep_low: bool) -> None:
    readings = sorted(readings, key=lambda each: each["fetched_at"])
    whole, cut = LoadedScans().load(frame(readings, keep_low=keep_low), keep_low=keep_low), LoadedScans()
    edges = [0, *sorted(set(cuts)), len(readings)]
    for start, end in pairwise(edges):
        if readings[start:end]:
            cut.load(frame(readings[start:end], keep_low=keep_low), keep_low=keep_low)
    assert cut.rows == whole.rows
    assert Counter(cut.changes) == Counter(whole.changes)
    assert [cut.counts[name] for name in COUNTED] == [whole.counts[name] for name in COUNTED]


def only(state: LoadedScans) -> dict[str, Any]:
    return next(iter(state.rows.values()))


def test_same_reading_again_changes_nothing() -> None:
    state = load_one_by_one(scan(), scan(read=1001), scan(read=1002))
    assert state.counts == {"new": 1, "changed": 0, "duplicates": 2, "raised": 1}
    assert state.changes == []
    assert only(state)["fetched_at"] == scan()["fetched_at"]


@pytest.mark.parametrize("together", [True, False])
def test_older_news_never_overwrites_newer(together: bool) -> None:
    readings = [scan(verdict="unsafe", read=1001), scan(verdict="malicious", read=1000)]
    state = LoadedScans().load(frame(readings)) if together else load_one_by_one(*readings)
    assert only(state)["verdict"] == "unsafe"
    assert only(state)["priority"] == ("high" if together else "medium")  # read in one batch, it was malicious once
    assert state.counts["duplicates"] == (0 if together else 1)


def test_within_a_page_the_place_decides() -> None:
    state = LoadedScans().load(frame([scan(verdict="unsafe"), scan(verdict="unknown")]))
    assert only(state)["verdict"] == "unknown"
    assert [change[1:4] for change in state.changes] == [("verdict", "unsafe", "unknown")]


def test_once_an_alert_always_an_alert() -> None:
    row = only(load_one_by_one(scan(verdict="malicious"), scan(verdict="safe", read=1001, response="none")))
    assert (row["verdict"], row["response"], row["dangerous"], row["disposition"]) == (
        "safe",
        "none",
        False,
        "no_action",
    )
    assert (row["priority"], row["priority_rank"], row["priority_rule"]) == ("high", 1, "verdict-malicious")
    assert row["cleared_at"] == NOW
    assert row["raised_at"] == NOW
    assert row["raw"] == only(load_one_by_one(scan()))["raw"]  # the record that raised it


def test_cleared_alert_is_active_again_when_its_verdict_returns() -> None:
    state = load_one_by_one(scan(), scan(verdict="safe", read=1001))
    state.load(frame([scan(verdict="clean", read=1002)]), now=NOW + HOUR)
    assert only(state)["cleared_at"] == NOW
    state.load(frame([scan(read=1003)]), now=NOW + 2 * HOUR)
    assert only(state)["cleared_at"] is None
    state.load(frame([scan(verdict="unsafe", read=1004), scan(verdict="safe", read=1005)]), now=NOW + 3 * HOUR)
    assert only(state)["cleared_at"] == NOW + 3 * HOUR
    assert only(state)["raised_at"] == NOW
    assert only(state)["priority"] == "high"


def test_cleared_raised_and_cleared_again_in_one_batch_is_cleared_now() -> None:
    state = load_one_by_one(scan(), scan(verdict="safe", read=1001))
    state.load(frame([scan(verdict="unsafe", read=1002), scan(verdict="safe", read=1003)]), now=NOW + HOUR)
    assert only(state)["cleared_at"] == NOW + HOUR


def test_priority_is_the_highest_ever_and_raised_at_is_when_it_rose() -> None:
    state = load_one_by_one(scan(verdict="timeout"))
    assert (only(state)["priority"], only(state)["priority_rank"]) == ("medium", 3)
    state.load(frame([scan(verdict="malicious", read=1001)]), now=NOW + HOUR)
    state.load(frame([scan(verdict="unsafe", read=1002)]), now=NOW + 2 * HOUR)
    row = only(state)
    assert (row["verdict"], row["priority"], row["sub_classification"]) == ("unsafe", "high", "Malicious attachment")
    assert (row["raised_at"], row["last_changed_at"]) == (NOW + HOUR, NOW + 2 * HOUR)
    assert row["first_loaded_at"] == NOW
    assert state.counts["raised"] == 2


def test_replaced_row_keeps_its_group() -> None:
    state = load_one_by_one(scan(verdict="unknown"))
    life = {"load_no": pl.lit(7, pl.Int64), "group_id": pl.lit("g"), "group_key": pl.lit("k")}
    state.stored = state.stored.with_columns(**life)
    state.load(frame([scan(verdict="malicious", read=1001)]))
    assert state.stored.select("load_no", "group_id", "group_key").rows() == [(7, "g", "k")]


def private(state: LoadedScans) -> tuple[Any, ...]:
    return tuple(only(state)[name] for name in PRIVATE)


def _record(hour: float) -> str:
    return f"record of {int((START + hour * HOUR).timestamp())}"


def test_scan_without_alert_is_stored_without_subject_details_and_record() -> None:
    low = load_one_by_one(scan(verdict="safe"))
    assert private(low) == (None, None, None)
    low.load(frame([scan(verdict="clean", read=1001), scan(verdict="safe", read=1002)]))
    assert private(low) == (None, None, None)
    assert {change[1] for change in low.changes} == {"verdict"}
    low.load(frame([scan(verdict="unsafe", read=1003)]))
    assert private(low) == ("Your invoice", "looks bad", _record(1003))


def test_column_stored_for_the_first_time_is_no_change() -> None:
    raised = load_one_by_one(scan(verdict="safe"), scan(verdict="unsafe", read=1001))
    assert {change[1] for change in raised.changes} == {"verdict"}
    filled = load_one_by_one(scan(subject=None, details=None), scan(subject="Re", details=None, read=1001))
    assert [change[1:4] for change in filled.changes] == [("subject", None, "Re")]


def test_setting_keeps_private_columns_of_scans_without_alert() -> None:
    assert private(load_one_by_one(scan(verdict="safe"), keep_low=True)) == ("Your invoice", "looks bad", _record(1000))


def test_private_columns_stay_and_are_filled_after_the_setting_changes() -> None:
    kept = load_one_by_one(scan(verdict="safe"), keep_low=True)
    kept.load(frame([scan(verdict="safe", subject="other", read=1001)]))
    assert kept.counts["duplicates"] == 1
    kept.load(frame([scan(verdict="clean", subject="other", read=1002)]))
    assert private(kept) == ("Your invoice", "looks bad", _record(1000))
    bare = load_one_by_one(scan(verdict="safe"))
    bare.load(frame([scan(verdict="safe", read=1001)], keep_low=True), keep_low=True)
    assert private(bare) == ("Your invoice", "looks bad", _record(1001))


def remapped(*rules: tuple[str, str]) -> Any:
    """The default map with other priorities."""
    table = MAPS.priorities
    for verdict, priority in rules:
        table = table.with_columns(
            priority=pl.when(pl.col("verdict") == verdict).then(pl.lit(priority)).otherwise("priority")
        )
    return MAPS._replace(priorities=table)


@pytest.mark.parametrize("subject", [None, "Re"])
def test_changed_map_applies_when_a_record_is_read_again(subject: str | None) -> None:
    one = {"subject": subject, "details": None}
    state = load_one_by_one(scan(verdict="timeout", **one), scan(hour=1, verdict="safe", **one))
    again = [scan(verdict="timeout", read=1001, **one), scan(hour=1, verdict="safe", read=1001, **one)]
    state.load(frame(again, maps=remapped(("timeout", "low"), ("safe", "high"))))
    rows = {row["verdict"]: row for row in state.rows.values()}
    assert (rows["timeout"]["priority"], rows["timeout"]["cleared_at"]) == ("medium", NOW)
    assert (rows["safe"]["priority"], rows["safe"]["raised_at"]) == ("high", NOW)
    state.load(frame(again, maps=remapped(("timeout", "low"), ("safe", "high"))))
    assert state.counts == {"new": 2, "changed": 2, "duplicates": 2, "raised": 2}


def test_another_meaning_of_the_same_reading_is_taken_over_without_a_change_of_fields() -> None:
    state = load_one_by_one(scan())
    assert state.stored["disposition"].to_list() == ["held"]
    again = frame([scan(read=1001)]).with_columns(
        disposition=pl.lit("blocked"), dangerous=pl.lit(value=False), sub_classification=pl.lit("Worm")
    )
    state.load(again)
    row = state.stored.row(0, named=True)
    assert (row["disposition"], row["dangerous"], row["sub_classification"]) == ("blocked", False, "Worm")
    assert state.changes == []
    assert state.counts["changed"] == 1
