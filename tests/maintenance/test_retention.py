"""Retention: exactly what is too old is deleted, the preview equals the change, and it does not come back."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tasks.errors import OperatorError
from tasks.ingest.coverage import Report, record_reports
from tasks.maintenance.regroup import run_regroup
from tasks.maintenance.retention import run_retention
from tasks.queries import lookups
from tasks.settings import Settings
from tasks.store import compaction
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.allow_list import Entry, add
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tests.scans import HOUR, KEEP_ALL, START, UNLIKE_LOW_SCANS, begun, content, load, reject, rows, scan, source

BOB = "bob@contoso.example"
DAY = timedelta(days=1)
NOTHING = {
    "closed alerts": 0, "low scans": 0, "rejects": 0, "windows": 0, "told notices": 0, "gone directory rows": 0,
    "raw records of low scans": 0, "raw records of alerts": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loaded in March, when nothing was too old; each test gets a copy."""
    old = begun(tmp_path_factory.mktemp("loaded"), keep_low="full")
    group = [scan(0), scan(1, "unsafe", recipient=BOB)]
    other = scan(500, "unsafe", file_sha256="cd" * 32)
    load(old, [[*group, scan(2, "safe", recipient=BOB), scan(24 * 150, "safe", file_sha256="ef" * 32), other]])
    load(old, [], rejects=[reject("1"), reject("2", read=24 * 190)])
    old.publish()
    return old.settings.home


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Store:
    """The same data with the default settings."""
    return open_store(Settings(home=shutil.copytree(loaded, tmp_path / "home")))


def days(count: float) -> datetime:
    return START + count * DAY


def removed(store: Store, at: datetime, **expected: int) -> None:
    """The preview equals the change, and a second run deletes nothing."""
    counts = NOTHING | {name.replace("_", " "): count for name, count in expected.items()}
    before = content(store)
    assert run_retention(store, apply=False, now=at)["removed"] == counts
    assert content(store) == before
    assert run_retention(store, apply=True, now=at)["removed"] == counts
    revision = store.published_revision()
    assert run_retention(store, apply=True, now=at)["removed"] == NOTHING
    assert store.published_revision() == revision


def close(store: Store, *groups: str) -> None:
    decide(store, Decision("closed", "ann", "benign"), groups=list(groups))


def published(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.reader() as reader:
        return reader.rows(sql)


def test_each_kind_expires_after_its_period(store: Store) -> None:
    removed(store, days(20))
    removed(store, days(31), raw_records_of_low_scans=1)
    removed(store, days(132), rejects=1)  # last seen on the 42nd day
    removed(store, days(179.9))
    removed(store, days(180.1), low_scans=1, raw_records_of_alerts=2, raw_records_of_low_scans=1)
    assert published(store, "SELECT verdict, raw IS NULL FROM scans ORDER BY detected_at") == [
        ("malicious", True), ("unsafe", True), ("unsafe", False), ("safe", True)
    ]  # fmt: skip
    assert published(store, "SELECT raw FROM rejects") == [("2",)]
    assert published(store, "SELECT sum(alert_count), max(exposure_count) FROM alert_groups") == [(3, 0)]
    assert published(store, UNLIKE_LOW_SCANS) == []


def test_sent_notices_expire_and_pending_ones_stay(store: Store) -> None:
    with store.transaction() as transaction:
        waiting = transaction.rows("SELECT count(*) FROM internal.notices")[0][0]
        transaction.run(
            "UPDATE internal.notices SET sent_at = $at "
            "WHERE notice_id IN (SELECT min(notice_id) FROM internal.notices)",
            {"at": days(10)},
        )
    removed(store, days(99.9), raw_records_of_low_scans=1)
    removed(store, days(100.1), told_notices=1)
    assert published(store, "SELECT count(*) FROM internal.notices WHERE sent_at IS NULL") == [(waiting - 1,)]


def test_open_alerts_stay_and_closed_ones_expire_with_their_group(store: Store) -> None:
    groups = rows(store, "SELECT group_id::VARCHAR FROM alert_groups ORDER BY first_detected_at")
    one, other = (row[0] for row in groups)
    close(store, one)
    later = rows(store, 'SELECT max("at") FROM triage_log')[0][0] + 731 * DAY
    counts = run_retention(store, apply=True, now=later)["removed"]
    assert (counts["closed alerts"], counts["low scans"]) == (2, 2)
    assert published(store, "SELECT group_id::VARCHAR FROM alert_groups") == [(other,)]
    for relation in ("triage_log", "exposures", "group_changes"):
        assert published(store, f"SELECT count(*) FROM {relation}") == [(0,)], relation
    assert published(store, "SELECT count(*) FROM internal.decisions") == [(0,)]
    assert published(store, "SELECT old_group_id::VARCHAR, group_id FROM group_aliases") == [(one, None)]
    with pytest.raises(OperatorError, match=r"was deleted on .* closed"):
        lookups.group(store, one[:8], 5)


def test_reason_of_a_reopening_outlives_the_deleted_decisions(store: Store) -> None:
    (one,) = rows(store, "SELECT group_id::VARCHAR FROM alert_groups ORDER BY first_detected_at LIMIT 1")[0]
    close(store, one)
    load(store, [[scan(20)]])  # reopens it
    run_regroup(store, None, 10, None, apply=True)  # and moves to another group
    later = rows(store, 'SELECT max("at") FROM triage_log')[0][0] + 731 * DAY
    assert run_retention(store, apply=True, now=later)["removed"]["closed alerts"] == 2
    load(store, [[scan(20, "unsafe", read=1001)]])
    assert rows(store, "SELECT alert_count, reopened_by FROM alert_groups ORDER BY first_detected_at LIMIT 1") == [
        (1, "new_alert")
    ]


def test_group_with_one_open_alert_stays(store: Store) -> None:
    alert = rows(store, "SELECT alert_id::VARCHAR FROM alerts WHERE recipient <> $bob LIMIT 1", bob=BOB)[0][0]
    decide(store, Decision("closed", "ann", "benign"), alerts=[alert])
    later = rows(store, 'SELECT max("at") FROM triage_log')[0][0] + 731 * DAY
    assert run_retention(store, apply=False, now=later)["removed"]["closed alerts"] == 0


def test_deleted_alerts_do_not_come_back_and_ids_are_not_reused(store: Store) -> None:
    (one,) = rows(store, "SELECT group_id::VARCHAR FROM alert_groups ORDER BY first_detected_at LIMIT 1")[0]
    close(store, one)
    later = rows(store, 'SELECT max("at") FROM triage_log')[0][0] + 731 * DAY
    run_retention(store, apply=True, now=later)
    again = load(store, [[scan(0, read=9000), scan(1, "malicious", recipient=BOB), scan(2, "safe", recipient=BOB)]])
    assert (again.new, again.changed, again.duplicates, again.expired, again.alerts) == (0, 0, 0, 3, 0)
    assert load(store, [[scan(0.5, recipient="new@contoso.example")]]).new == 1
    assert rows(store, "SELECT count(*) FROM alert_groups WHERE group_id::VARCHAR = $one", one=one) == [(0,)]
    ids = rows(store, "SELECT count(*), count(DISTINCT group_id) FROM internal.group_ids")
    assert ids == [(3, 3)]


def test_backfill_of_old_time_stores_only_what_retention_keeps(tmp_path: Path) -> None:
    store = open_store(
        Settings(home=tmp_path, keep_low="full", retention_low_days=3650 * 10, retention_low_raw_days=30)
    )
    begun(tmp_path)
    load(store, [[scan(0), scan(1, "safe")]])
    assert rows(store, "SELECT verdict, raw IS NULL FROM scans ORDER BY 1") == [("malicious", True), ("safe", True)]
    short = open_store(Settings(home=tmp_path, retention_low_days=1))
    both = [scan(3, "safe"), scan(3, "unsafe"), scan(4, "unsafe"), scan(4, "safe")]
    done = load(short, [[scan(2, "safe"), *both, scan(0, "safe", read=1001)]])
    assert (done.new, done.changed, done.duplicates, done.expired) == (2, 3, 0, 1)
    assert rows(short, "SELECT date_diff('hour', $start, detected_at), cleared_at IS NOT NULL FROM alerts ORDER BY 1",
                start=START) == [(0, True), (3, False), (4, True)]  # fmt: skip


def test_deleted_windows_do_not_change_coverage_gaps_or_health(store: Store) -> None:
    of, early = source(), START - 30 * DAY
    with store.transaction() as transaction:
        fetched = Report(START, START + HOUR, "poll", "failed", early, early, error_kind="X", error="fetched later")
        missing = fetched._replace(start_at=START + 300 * HOUR, finished_at=early + HOUR, error="not fetched since")
        record_reports(transaction, of, [fetched, missing])
    queries = {name: f"SELECT * FROM {name} ORDER BY ALL" for name in ("coverage", "coverage_gaps")}
    queries["health"] = (
        "SELECT state, watermark, last_success_at, last_record_at, consecutive_failures, last_error, gaps "
        "FROM connector_health"
    )
    before = {name: rows(store, sql) for name, sql in queries.items()}
    assert "not fetched since" in before["health"][0]
    newest = rows(store, "SELECT max(finished_at) FROM windows")[0][0]
    counts = run_retention(store, apply=True, now=newest + 401 * DAY)["removed"]
    assert counts["windows"] == 1
    assert rows(store, "SELECT count(*) FROM windows") == [(3,)]
    assert {name: rows(store, sql) for name, sql in queries.items()} == before


def test_period_of_zero_days_keeps_everything(store: Store) -> None:
    periods = {name: 0 for name in Settings.model_fields if name.startswith("retention_")}
    everything = open_store(Settings(home=store.settings.home, **periods))
    counts = run_retention(everything, apply=True, now=days(9000))["removed"]
    kept = ("closed alerts", "low scans", "raw records of low scans", "raw records of alerts")
    assert [counts[kind] for kind in kept] == [0] * len(kept)


def fill(store: Store, count: int) -> None:
    """Many low scans of one day, each with another hash."""
    columns = (
        "gen_random_uuid() AS scan_id, 'default' AS tenant, $id AS connector_id, $at AS detected_at, "
        "'safe' AS verdict, 'r' AS priority_rule, 's' AS sub_classification, 'held' AS disposition, "
        "sha256(i::VARCHAR) AS file_sha256, "
        "$at AS fetched_at, $at AS first_loaded_at, $at AS last_changed_at"
    )
    with store.transaction() as transaction:
        transaction.run(
            f"INSERT INTO internal.low_scans BY NAME SELECT {columns} FROM range({count}) AS numbers(i)",
            {"id": source().connector_id, "at": START},
        )


def test_compaction_shrinks_the_file_and_keeps_its_content(store: Store) -> None:
    fill(store, 80_000)
    described = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() ORDER BY ALL"
    before, kept = store.path.stat().st_size, rows(store, described)
    done = run_retention(store, apply=True, now=days(182))
    assert done["megabytes_after"] < done["megabytes_before"] / 2
    assert store.path.stat().st_size < before / 2
    assert store.published_path.stat().st_size == store.path.stat().st_size
    assert rows(store, described) == kept
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert load(store, [[scan(0, read=9000), scan(9000)]]).new == 1


def test_failed_compaction_leaves_the_store_unchanged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 80_000)
    monkeypatch.setattr(compaction, "replace_database", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_retention(store, apply=True, now=days(182))
    monkeypatch.undo()
    assert (store.settings.home / "store.duckdb.fresh").exists()
    assert rows(store, "SELECT count(*) FROM scans") == [(4,)]
    assert store.compact()
    assert not (store.settings.home / "store.duckdb.fresh").exists()
    assert rows(store, "SELECT count(*) FROM scans") == [(4,)]
    assert load(store, [[scan(9001)]]).new == 1


def test_gone_people_stay_while_a_stored_alert_concerns_them(store: Store) -> None:
    gone, at = "ann left", days(40)
    people = {"ann@contoso.example": 1, "bob@contoso.example": 2, "cyd@contoso.example": 3}
    people |= {"dan@contoso.example": 4, "eve@contoso.example": 5, "fay@contoso.example": 6}
    with store.transaction() as transaction:
        for address, number in people.items():
            facts = {"id": UUID(int=number), "address": address, "at": START - DAY, "gone": at, "name": gone}
            for sql in (
                "INSERT INTO internal.people BY NAME SELECT 'default' AS tenant, $id AS user_id, "
                "$name AS display_name, 'person' AS kind, [] AS sources, [] AS merge_rules, "
                "$at AS first_seen_at, $at AS last_seen_at, "
                "$gone AS gone_at",
                "INSERT INTO internal.addresses VALUES ('default', $address, $id, 1, 'mail', 's', $at, $gone)",
                "INSERT INTO internal.recipients BY NAME SELECT 'default' AS tenant, $address AS recipient, "
                "$at AS valid_from, $id AS user_id, 'matched' AS match_state",
                "INSERT INTO internal.recipient_people VALUES "
                "('default', $address, $at, $id, 'mail', 1, $address, false, NULL)",
            ):
                transaction.run(sql, {name: value for name, value in facts.items() if f"${name}" in sql})
    keeping = open_store(Settings(home=store.settings.home, **KEEP_ALL))
    load(keeping, [[scan(24 * 60, "safe", recipient="dan@contoso.example")]])  # an exposure
    load(keeping, [[scan(24 * 60, file_sha256="ef" * 32, sender="x@y.example", recipient="eve@contoso.example")]])
    add(store, Entry("sender", "x@y.example", "known", "ann", datetime.now(UTC) + HOUR))
    counts = run_retention(store, apply=True, now=at + 91 * DAY)["removed"]
    assert counts["gone directory rows"] == 4  # cyd and fay
    assert published(store, "SELECT display_name FROM exposures WHERE recipient = 'dan@contoso.example'") == [(gone,)]
    with store.transaction() as transaction:
        transaction.run("DELETE FROM internal.suppressed")  # shown again
    assert rows(
        store, "SELECT display_name FROM alert_users x JOIN alerts USING (alert_id) WHERE sender LIKE 'x@%'"
    ) == [(gone,)]
    assert published(store, "SELECT DISTINCT user_id FROM directory_addresses ORDER BY 1") == [
        (UUID(int=number),) for number in (1, 2, 4, 5)
    ]
    assert published(store, "SELECT count(*) FROM alert_users WHERE display_name = 'ann left'") == [(3,)]
    assert rows(store, "SELECT recipient FROM internal.recipients ORDER BY 1") == [
        (f"{name}@contoso.example",) for name in ("ann", "bob", "dan", "eve")
    ]
