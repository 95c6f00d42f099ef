"""What the store knows of a connector's pulls: origin, coverage, gaps, attempts, health."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import KeyExpired
from tasks.ingest.coverage import Report, add_coverage, mark_rechecked, record_full_pull, record_reports
from tasks.ingest.pull_session import begin
from tasks.ingest.registry import mark_removed, rename_connector, upsert_connectors
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.window import Interval, Slice, merge
from tests.examples import examples
from tests.scans import HOUR, START, begun, load, reject, rows, scan, source

NOW = START + timedelta(days=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, source(1), source(2))


def hours(start: float, end: float, trigger: Any = "poll") -> Slice:
    return Slice(START + start * HOUR, START + end * HOUR, trigger)


def report(state: Any, at: datetime, **more: Any) -> Report:
    return Report(START, START + HOUR, "poll", state, at, at, **more)


def health(store: Store, *names: str) -> Any:
    found = rows(store, f"SELECT {', '.join(names)} FROM connector_health WHERE connector = 'connector-1'")[0]
    return found if len(names) > 1 else found[0]


def test_the_first_begin_fixes_the_origin(store: Store) -> None:
    first = begin(store, source(1), NOW + HOUR)
    assert first.progress.origin == START
    assert first.progress.rechecked_at == NOW
    assert (first.progress.coverage, first.open_rejects, first.failing) == ([], frozenset(), None)


def test_what_is_edited_of_a_connector_shows_at_its_next_run(store: Store) -> None:
    before = rows(store, "SELECT revision FROM published")[0][0]
    begin(store, source(1), NOW)
    assert rows(store, "SELECT revision FROM published")[0][0] == before
    begin(store, source(1)._replace(name="renamed", polling_minutes=5), NOW)
    assert rows(store, "SELECT revision FROM published")[0][0] == before + 1
    assert sorted(rows(store, "SELECT connector FROM connector_health")) == [("connector-2",), ("renamed",)]
    rename_connector(store, source(1).connector_id, "again")
    mark_removed(store, source(2).connector_id, NOW)
    assert rows(store, "SELECT connector FROM connector_health") == [("again",)]
    begin(store, source(2), NOW)
    assert len(rows(store, "SELECT connector FROM connector_health")) == 2


pieces = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["poll", "backfill", "recheck"])), max_size=8
)


class Undo(Exception):
    """Ends a transaction without a trace."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return begun(tmp_path_factory.mktemp("home"), source(1), source(2))


@examples(15)
@given(done=pieces)
def test_coverage_is_the_union_of_what_polls_and_backfills_completed(shared: Store, done: list[Any]) -> None:
    slices = [hours(start, start + length, trigger) for start, length, trigger in done]
    expected = merge(Interval(each.start, each.end) for each in slices if each.trigger != "recheck")
    with pytest.raises(Undo), shared.transaction() as transaction:
        add_coverage(transaction, source(2), hours(0, 1))
        for each in slices:
            add_coverage(transaction, source(1), each)
        found = transaction.rows("SELECT start_at, end_at FROM coverage WHERE connector = 'connector-1' ORDER BY 1")
        assert found == expected
        gaps = transaction.rows("SELECT start_at, end_at FROM coverage_gaps WHERE connector = 'connector-1' ORDER BY 1")
        edges = [START, *(edge for each in expected for edge in each)]
        assert gaps == [pair for pair in zip(edges[::2], edges[1::2], strict=False) if pair[0] < pair[1]]
        raise Undo


def test_coverage_from_before_the_origin_leaves_no_gap_behind_it(store: Store) -> None:
    load(store, [], slice_=hours(-48, -24, "backfill"))
    load(store, [], slice_=hours(-2, 3))
    load(store, [], slice_=hours(5, 6))
    assert rows(store, "SELECT start_at, end_at FROM coverage_gaps") == [(START + 3 * HOUR, START + 5 * HOUR)]
    assert health(store, "watermark", "gaps") == (START + 3 * HOUR, 1)
    assert begin(store, source(1), NOW).progress.coverage == [
        Interval(each.start, each.end) for each in (hours(-48, -24), hours(-2, 3), hours(5, 6))
    ]


def test_a_run_knows_the_open_rejects_of_its_connector(store: Store) -> None:
    one, two, foreign = reject("one"), reject("two"), reject("foreign")
    load(store, [], rejects=[one, two])
    load(store, [], source(2), rejects=[foreign])
    load(store, [], resolved=[two["reject_id"]])
    assert begin(store, source(1), NOW).open_rejects == {one["reject_id"]}


def test_the_recheck_is_remembered_per_connector(store: Store) -> None:
    with store.transaction() as transaction:
        mark_rechecked(transaction, source(1), NOW + HOUR)
    assert begin(store, source(1), NOW).progress.rechecked_at == NOW + HOUR
    assert begin(store, source(2), NOW).progress.rechecked_at == NOW


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=30), timedelta(days=400)])
def test_coverage_and_recheck_in_the_future_are_cut_back_and_recorded(store: Store, ahead: timedelta) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    began = now - 5 * HOUR
    wrong = Interval(START, now + ahead)
    with store.transaction() as transaction:
        columns = "SELECT tenant, connector_id, $start, $end FROM internal.connectors WHERE connector_id = $id"
        values = {"start": wrong.start, "end": wrong.end, "id": source(1).connector_id}
        transaction.run(f"INSERT INTO internal.coverage {columns}", values)
        mark_rechecked(transaction, source(1), now + ahead)
        record_reports(transaction, source(1), [Report(*wrong, "poll", "complete", began, now + ahead)])
        transaction.publish = True
    assert health(store, "lag_seconds") == 0
    progress = begin(store, source(1), now).progress
    assert progress.coverage == [Interval(START, began)]  # where the claim was made, not only where it became true
    assert now - progress.rechecked_at >= 24 * HOUR
    assert health(store, "state", "watermark") == ("failing", began)
    assert rows(store, "SELECT start_at, end_at, state FROM windows ORDER BY finished_at DESC, state DESC LIMIT 1") == [
        (began, now + ahead, "failed")
    ]
    assert begin(store, source(1), now).progress == progress
    attempt(store, Report(began - HOUR, now, "poll", "complete", now + HOUR / 60, now + HOUR / 60, newest_at=now))
    assert health(store, "state") == "late"
    assert health(store, "consecutive_failures") == 0


def test_slice_is_covered_until_the_present_only(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with store.transaction() as transaction:
        add_coverage(transaction, source(1), Slice(START, now + HOUR, "poll"), now - HOUR)
        add_coverage(transaction, source(2), Slice(START, now + HOUR, "backfill"))
        add_coverage(transaction, source(2), Slice(now + HOUR, now + 2 * HOUR, "poll"))
    assert begin(store, source(1), now).progress.coverage == [Interval(START, now - HOUR)]
    ((start, end),) = begin(store, source(2), now).progress.coverage
    assert start == START
    assert now <= end <= datetime.now(UTC)


def test_origin_in_the_future_is_set_again(store: Store) -> None:
    begin(store, source(3), NOW + timedelta(days=900))
    assert begin(store, source(3), NOW).progress.origin == START


def attempt(store: Store, *reports: Report) -> None:
    with store.transaction() as transaction:
        record_reports(transaction, source(1), reports)


def test_failures_are_counted_until_a_slice_is_complete(store: Store) -> None:
    now = datetime.now(UTC)
    assert health(store, "state", "watermark") == ("never_run", START)
    broken = {"error_kind": "PagingBroken", "error": "Try again."}
    attempt(store, *(report("failed", now + n * HOUR, **broken) for n in range(3)))
    assert health(store, "state", "consecutive_failures", "last_error") == ("failing", 3, "Try again.")
    assert begin(store, source(1), NOW).failing
    attempt(store, report("complete", now + 5 * HOUR, newest_at=now))
    assert health(store, "consecutive_failures", "last_error", "last_success_at") == (0, None, now + 5 * HOUR)
    assert begin(store, source(1), NOW).failing is False


@pytest.mark.parametrize("kind", ["CredentialsRefused", "KeyExpired", "PermissionMissing", "WrongRegion"])
def test_what_an_operator_must_mend_about_keys_has_a_state_of_its_own(store: Store, kind: str) -> None:
    attempt(store, report("failed", datetime.now(UTC), error_kind=kind, error="Renew the key."))
    assert health(store, "state") == "auth_failed"


def test_late_quiet_and_ok(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    load(store, [[scan(0)]], slice_=Slice(START, START + HOUR, "poll"))
    assert health(store, "state", "last_record_at") == ("late", START)
    load(store, [], slice_=Slice(START, now, "poll"))
    assert health(store, "state", "alerts_24h") == ("quiet", 1)
    attempt(store, report("complete", now, newest_at=now))
    assert health(store, "state") == "ok"
    assert health(store, "lag_seconds") < 60


def test_what_is_read_whole_once_a_day_is_well_for_three_days(store: Store) -> None:
    daily, now = source(1)._replace(polling_minutes=1440), datetime.now(UTC)
    begin(store, daily, NOW)
    pulls = ((100, None, "late"), (71, None, "ok"), (50, KeyExpired("Renew the key."), "auth_failed"), (1, None, "ok"))
    for hours_ago, failure, state in pulls:
        record_full_pull(store, daily, now - hours_ago * HOUR, failure, None)
        assert health(store, "state") == state
    assert health(store, "gaps", "consecutive_failures", "lag_seconds // 3600") == (0, 0, 1)


def test_a_saved_connector_is_seen_before_its_first_poll_which_gives_it_its_origin(tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path))
    upsert_connectors(store, [source(7)])
    assert rows(store, "SELECT state, watermark FROM connector_health") == [("never_run", None)]
    assert begin(store, source(7), NOW).progress.origin == NOW - source(7).first_look_back
    assert begin(store, source(7), NOW + HOUR).progress.origin == NOW - source(7).first_look_back


def test_success_of_a_later_slice_does_not_hide_a_failed_one(store: Store) -> None:
    now = datetime.now(UTC)
    broken = {"error_kind": "PagingBroken", "error": "Try again."}
    attempt(store, report("failed", now, **broken))
    later = report("complete", now + HOUR)
    attempt(store, later._replace(start_at=later.end_at, end_at=later.end_at + HOUR))
    assert health(store, "state", "consecutive_failures", "last_error") == ("failing", 1, "Try again.")
    attempt(store, report("complete", now + 2 * HOUR))
    assert health(store, "consecutive_failures", "last_error") == (0, None)


def test_a_switch_is_kept_where_nobody_has_looked(store: Store) -> None:
    def polling() -> list[tuple[bool | None]]:
        with store.transaction() as transaction:
            asked = {"id": source(7).connector_id}
            return transaction.rows("SELECT polling FROM internal.connectors WHERE connector_id = $id", asked)

    for told, kept in ((None, None), (False, False), (None, False), (True, True), (None, True)):
        upsert_connectors(store, [source(7)._replace(polling=told)])
        assert polling() == [(kept,)]
