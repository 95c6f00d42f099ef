"""What the pages about a run, a connector's health and the open groups read from the tables."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from tasks.database import Connection
from tasks.window import Interval

if TYPE_CHECKING:
    from tasks.database import Store

LISTED = 50  # groups on a page
GAPS = 10

_GROUPS = """
    SELECT
        group_id::VARCHAR AS group_id, tenant, priority, description, responses, user_count, device_count,
        recipient_count, alert_count, suppressed_count, first_detected_at, last_detected_at, detection_details_url,
        count(*) OVER () AS found
    FROM alert_groups {condition}
    ORDER BY priority_rank, last_detected_at DESC, group_id LIMIT $limit
"""


class Listed(NamedTuple):
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
    changed: Listed
    """groups that this run made or changed"""
    urgent: Listed
    """open groups of high priority, of all connectors"""


def overview(store: "Store", connector: str, group_ids: Collection[str], *, published: bool) -> Overview:
    """Read all of it; `published`: the copy shows everything that this run has committed.

    The health is read from the store, because a run that brought nothing need not publish. The groups come from the
    copy wherever they can: listing them takes longer than anybody should keep the writer's lock.
    """
    with store.transaction() as stored:
        health, gaps = _health(stored, connector), _gaps(stored, connector)
        if not published:
            return Overview(health, gaps, _changed(stored, group_ids), _urgent(stored))
    with store.reader(modest=True) as copy:
        return Overview(health, gaps, _changed(copy, group_ids), _urgent(copy))


def healths(store: "Store") -> dict[str, dict[str, Any]]:
    """Rows of `connector_health` by name, from the store: the copy may not show the last polls yet."""
    with store.transaction() as stored:
        rows = stored.frame("SELECT * FROM connector_health ORDER BY connector, last_success_at NULLS FIRST")
    return {row["connector"]: row for row in rows.iter_rows(named=True)}


def urgent(store: "Store") -> Listed:
    """Open groups of high priority, as they are now."""
    with store.snapshot(modest=True) as copy:
        return _urgent(copy)


def urgent_as_published(store: "Store") -> Listed:
    """Open groups of high priority, as the copy shows them; nobody has to wait for it."""
    with store.reader(modest=True) as copy:
        return _urgent(copy)


def _health(tables: Connection, connector: str) -> dict[str, Any] | None:
    latest = "SELECT * FROM connector_health WHERE connector = $connector ORDER BY last_success_at DESC NULLS LAST"
    rows = tables.frame(latest, {"connector": connector})
    return next(rows.iter_rows(named=True), None)


def _gaps(tables: Connection, connector: str) -> list[Interval]:
    rows = tables.rows(
        "SELECT start_at, end_at FROM coverage_gaps WHERE connector = $connector ORDER BY start_at LIMIT $limit",
        {"connector": connector, "limit": GAPS},
    )
    return [Interval(*row) for row in rows]


def _changed(tables: Connection, group_ids: Collection[str]) -> Listed:
    if not group_ids:
        return Listed([], 0)
    ids = pl.DataFrame({"group_id": sorted(group_ids)}, schema={"group_id": pl.String})
    condition = "WHERE group_id IN (SELECT group_id::UUID FROM ids)"
    return _listed(tables.frame(_GROUPS.format(condition=condition), {"limit": LISTED}, ids=ids))


def _urgent(tables: Connection) -> Listed:
    condition = "WHERE priority = 'high' AND status <> 'closed' AND cleared_at IS NULL"
    listed = _listed(tables.frame(_GROUPS.format(condition=condition), {"limit": LISTED}))
    return listed._replace(revision=tables.rows("SELECT revision FROM internal.store_state")[0][0])


def _listed(rows: pl.DataFrame) -> Listed:
    return Listed(rows.drop("found").to_dicts(), 0 if rows.is_empty() else rows["found"][0])
