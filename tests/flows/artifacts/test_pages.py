"""Pages of a run from a filled store, without Prefect."""

from pathlib import Path

from flows.artifacts.dashboards import urgent_page
from flows.artifacts.run_summary import Outcome, Run, group_rows, groups_title, summary_page
from tasks.ingest.run_stats import OLD_DIRECTORY, RunStats
from tasks.queries.run_overview import GAPS, LISTED, Overview, overview
from tasks.store.store import Store
from tasks.window import Slice
from tests.scans import HOUR, START, begun, load, rows, scan, source

RUN = Run("connector-1", "poll", START)
MANY = LISTED + 7


def after(store: Store) -> tuple[Overview, RunStats]:
    groups = {group for (group,) in rows(store, "SELECT group_id::VARCHAR FROM alert_groups")}
    return overview(store, source().name, groups, published=False), RunStats(
        groups=groups, opened=set(list(groups)[:1])
    )


def page(found: Overview, stats: RunStats) -> str:
    return summary_page(RUN, Outcome("completed", ""), stats, found)


def test_many_groups_are_counted_and_the_most_urgent_listed(tmp_path: Path) -> None:
    store = begun(tmp_path)
    many = [scan(hour / 60, file_sha256=f"{hour:064x}") for hour in range(MANY)]
    load(store, [[*many, scan(verdict="timeout", file_sha256="cd" * 32)]])
    found, stats = after(store)
    assert groups_title(found.changed, stats) == (
        f"New and changed alert groups: {MANY + 1}, most urgent first. 8 more are in the relation `alert_groups`."
    )
    shown = group_rows(found.changed, stats.opened)
    assert {row["priority"] for row in shown} == {"high"}
    urgent = urgent_page(found.urgent, START)
    assert urgent.startswith(f"## {MANY} open groups of high priority\n")
    assert "7 more are in the relation `alert_groups`.\n\n| Last" in urgent
    assert (len(shown), urgent.count("\n| 03-01 ")) == (LISTED, LISTED)


def test_people_and_devices_are_counted_with_a_directory(tmp_path: Path) -> None:
    store = begun(tmp_path)
    load(store, [[scan()]])
    found, stats = after(store)
    (row,) = found.changed.rows
    known = found.changed._replace(rows=[row | {"user_count": 0, "device_count": 2}])
    shown = [group_rows(groups, stats.opened)[0] for groups in (found.changed, known)]
    assert [(row["users"], row["devices"]) for row in shown] == [("-", "-"), (0, 2)]
    assert urgent_page(known, START).splitlines()[-1].split(" | ")[-4:-1] == ["1", "0", "2"]


def test_gaps_in_coverage_are_listed(tmp_path: Path) -> None:
    store = begun(tmp_path)
    assert "Gaps" not in page(*after(store))
    for hour in range(0, 3 * (GAPS + 2), 3):  # covers one of every three hours
        load(store, [], slice_=Slice(START + hour * HOUR, START + (hour + 1) * HOUR, "poll"))
    gaps = page(*after(store)).partition("### Gaps in coverage\n\n")[2]
    assert gaps.splitlines()[2] == "| 2026-03-01 01:00 UTC | 2026-03-01 03:00 UTC | 2 h |"
    assert gaps.endswith("| 2 h |\n\nand 1 more")


def test_old_directory_is_reported(tmp_path: Path) -> None:
    store = begun(tmp_path)
    found, stats = after(store)
    assert found.health
    for hours, reported in ((None, False), (OLD_DIRECTORY, False), (9 * 24 + 1, True)):
        aged = found._replace(health=found.health | {"directory_age_hours": hours})
        assert ("**The directory is 9 days old.**" in page(aged, stats)) == reported
