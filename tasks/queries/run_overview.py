"""What the pages about a run, a connector's health and the open groups read from the tables."""

from collections.abc import Collection
from typing import Any, NamedTuple

import polars as pl

from tasks.store.connection import Connection
from tasks.store.store import Store
from tasks.window import Interval

LISTED = 50  # groups on a page
GAPS = 10

URGENT = "priority = 'high' AND status <> 'closed' AND cleared_at IS NULL"
ANY_URGENT = f"SELECT 1 FROM internal.groups WHERE alert_count > 0 AND {URGENT} LIMIT 1"
PLACE = "priority_rank, last_detected_at DESC, group_id"

# Both lists by one question: as a rule, planning it takes longer than answering it.
GROUPS = f"""
    WITH asked AS (
        SELECT
            group_id::VARCHAR AS group_id, tenant, priority, priority_rank, description, responses, user_count,
            device_count, recipient_count, alert_count, suppressed_count, first_detected_at, last_detected_at,
            detection_details_url, group_id IN (SELECT group_id::UUID FROM ids) AS changed, {URGENT} AS urgent
        FROM alert_groups
    )
    SELECT *, count(*) FILTER (changed) OVER () AS changed_found, count(*) FILTER (urgent) OVER () AS urgent_found
    FROM asked WHERE changed OR urgent
    QUALIFY row_number() OVER (PARTITION BY changed ORDER BY {PLACE}) <= $limit
        OR row_number() OVER (PARTITION BY urgent ORDER BY {PLACE}) <= $limit
    ORDER BY {PLACE}
"""


class GroupList(NamedTuple):
    """The first rows of `alert_groups` that fit a question, most urgent first, and how many fit it."""

    rows: list[dict[str, Any]]
    found: int
    revision: int = 0
    """of the tables, where somebody has to know whether they have changed since"""


class Overview(NamedTuple):
    """The tables after a run."""

    health: dict[str, Any] | None
    """row of `connector_health`; None of a connector that was removed"""
    gaps: list[Interval]
    changed: GroupList
    """groups that this run made or changed"""
    urgent: GroupList
    """open groups of high priority, of all connectors"""
    complete: int = 0
    """slices that the run has loaded, where that was asked"""


def overview(
    store: Store, connector: str, group_ids: Collection[str], *, published: bool, stopped: str | None = None
) -> Overview:
    """Read all of it; `published`: the copy shows everything that this run has committed.

    `stopped`: the run, where it was stopped. How many of its slices are complete it need not know itself any more.

    The health is read from the store, because a run that brought nothing need not publish. The groups come from the
    copy wherever they can: listing them takes longer than anybody should keep the writer's lock.
    """
    with store.transaction() as stored:
        health, gaps = _health(stored, connector), _gaps(stored, connector)
        complete = _complete_slices(stored, stopped) if stopped else 0
        if not published:
            return Overview(health, gaps, *_listed(stored, group_ids), complete)
    with store.reader(modest=True) as copy:
        return Overview(health, gaps, *_listed(copy, group_ids), complete)


def health_by_connector(store: Store) -> dict[str, dict[str, Any]]:
    """Rows of `connector_health` by name, from the store: the copy may not show the last polls yet."""
    with store.transaction() as stored:
        rows = stored.frame("SELECT * FROM connector_health ORDER BY connector, last_success_at NULLS FIRST")
    return {row["connector"]: row for row in rows.iter_rows(named=True)}


def urgent(store: Store) -> GroupList:
    """Open groups of high priority, as they are now."""
    with store.snapshot(modest=True) as copy:
        return _listed(copy)[1]


def urgent_as_published(store: Store) -> GroupList:
    """Open groups of high priority, as the copy shows them; nobody has to wait for it."""
    with store.reader(modest=True) as copy:
        return _listed(copy)[1]


def _health(tables: Connection, connector: str) -> dict[str, Any] | None:
    latest = "SELECT * FROM connector_health WHERE connector = $connector ORDER BY last_success_at DESC NULLS LAST"
    rows = tables.frame(latest, {"connector": connector})
    return next(rows.iter_rows(named=True), None)


def _complete_slices(tables: Connection, flow_run_id: str) -> int:
    complete = "SELECT count(*) FROM windows WHERE flow_run_id = $run AND state IN ('complete', 'complete_empty_tail')"
    return int(tables.rows(complete, {"run": flow_run_id})[0][0])


def _gaps(tables: Connection, connector: str) -> list[Interval]:
    rows = tables.rows(
        "SELECT start_at, end_at FROM coverage_gaps WHERE connector = $connector ORDER BY start_at LIMIT $limit",
        {"connector": connector, "limit": GAPS},
    )
    return [Interval(*row) for row in rows]


def _listed(tables: Connection, group_ids: Collection[str] = ()) -> tuple[GroupList, GroupList]:
    """Those of these groups that are listed, and the urgent ones."""
    revision = tables.rows("SELECT revision FROM internal.store_state")[0][0]
    if not group_ids and not tables.rows(ANY_URGENT):
        return GroupList([], 0), GroupList([], 0, revision)
    ids = pl.DataFrame({"group_id": sorted(group_ids)}, schema={"group_id": pl.String})
    rows = tables.frame(GROUPS, {"limit": LISTED}, ids=ids)
    return _first(rows, "changed"), _first(rows, "urgent")._replace(revision=revision)


def _first(rows: pl.DataFrame, which: str) -> GroupList:
    fitting = rows.filter(which)
    found = 0 if fitting.is_empty() else int(fitting[f"{which}_found"][0])
    return GroupList(fitting.head(LISTED).select(pl.exclude("^(changed|urgent).*$")).to_dicts(), found)
