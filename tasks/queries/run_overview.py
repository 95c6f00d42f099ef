"""Queries of the pages about a run, a connector's health and the open groups."""

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

# Both lists in one query, because planning it usually takes longer than running it.
GROUPS = f"""
    WITH candidates AS (
        SELECT
            group_id::VARCHAR AS group_id, tenant, priority, priority_rank, description, responses, user_count,
            device_count, recipient_count, alert_count, suppressed_count, first_detected_at, last_detected_at,
            detection_details_url, group_id IN (SELECT group_id::UUID FROM ids) AS changed, {URGENT} AS urgent
        FROM alert_groups
    )
    SELECT *, count(*) FILTER (changed) OVER () AS changed_found, count(*) FILTER (urgent) OVER () AS urgent_found
    FROM candidates WHERE changed OR urgent
    QUALIFY row_number() OVER (PARTITION BY changed ORDER BY {PLACE}) <= $limit
        OR row_number() OVER (PARTITION BY urgent ORDER BY {PLACE}) <= $limit
    ORDER BY {PLACE}
"""


class GroupList(NamedTuple):
    """The first rows of `alert_groups` that match, most urgent first, and how many match."""

    rows: list[dict[str, Any]]
    found: int


class Overview(NamedTuple):
    """The tables after a run."""

    health: dict[str, Any] | None
    """row of `connector_health`; None if the connector was removed"""
    gaps: list[Interval]
    changed: GroupList
    """groups that this run created or changed"""
    urgent: GroupList
    """open groups of high priority, of all connectors"""
    complete: int = 0
    """complete slices of a run that was stopped"""


def overview(
    store: Store, connector: str, group_ids: Collection[str], *, published: bool, stopped: str | None = None
) -> Overview:
    """The overview after a run; `published`: the published file contains everything that this run has committed.

    `stopped`: ID of the run if it was stopped, to count its complete slices.

    Health is read from the store, because a run without new records does not publish. Groups are read from the
    published file if possible, because listing them takes too long to hold the writer's lock.
    """
    with store.transaction() as stored:
        health, gaps = _health(stored, connector), _gaps(stored, connector)
        complete = _complete_slices(stored, stopped) if stopped else 0
        if not published:
            return Overview(health, gaps, *_listed(stored, group_ids), complete)
    with store.reader(modest=True) as copy:
        return Overview(health, gaps, *_listed(copy, group_ids), complete)


def health_by_connector(store: Store) -> dict[str, dict[str, Any]]:
    """Rows of `connector_health` by name, from the store: the published file may not contain the last polls yet."""
    with store.transaction() as stored:
        rows = stored.frame("SELECT * FROM connector_health ORDER BY connector, last_success_at NULLS FIRST")
    return {row["connector"]: row for row in rows.iter_rows(named=True)}


def urgent(store: Store) -> GroupList:
    """Open groups of high priority in the store."""
    with store.snapshot(modest=True) as copy:
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
    """The visible ones of these groups, and the urgent groups."""
    if not group_ids and not tables.rows(ANY_URGENT):
        return GroupList([], 0), GroupList([], 0)
    ids = pl.DataFrame({"group_id": sorted(group_ids)}, schema={"group_id": pl.String})
    rows = tables.frame(GROUPS, {"limit": LISTED}, ids=ids)
    return _first(rows, "changed"), _first(rows, "urgent")


def _first(rows: pl.DataFrame, which: str) -> GroupList:
    fitting = rows.filter(which)
    found = 0 if fitting.is_empty() else int(fitting[f"{which}_found"][0])
    return GroupList(fitting.head(LISTED).select(pl.exclude("^(changed|urgent).*$")).to_dicts(), found)
