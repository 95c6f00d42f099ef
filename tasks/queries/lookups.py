"""Queries of the commands on the published file."""

from datetime import datetime
from typing import Any, NamedTuple

from tasks.errors import OperatorError
from tasks.sanitize import plain
from tasks.store.connection import Connection
from tasks.store.id_prefix import ambiguous_prefix_message, prefix_digits
from tasks.store.store import Store
from tasks.triage.selection import HIDES

_GROUPS = """
    SELECT * REPLACE (group_id::VARCHAR AS group_id, previous_group_id::VARCHAR AS previous_group_id)
    FROM alert_groups
"""


# A group with hidden alerts only is in no list.
HIDDEN = """
    SELECT group_id::VARCHAR FROM suppressed_alerts
    WHERE starts_with(replace(group_id::VARCHAR, '-', ''), $digits) ORDER BY 1 LIMIT 1
"""


class Totals(NamedTuple):
    """Totals of the published file."""

    groups: dict[str, int]  # by priority, most urgent first
    hidden: int  # scans that raise no alert
    published_at: datetime | None
    closed: int = 0  # groups among these
    suppressed: int = 0  # alerts that the allow-list hides


class GroupDetails(NamedTuple):
    """Everything about one group."""

    group: dict[str, Any]
    asked_for: str | None  # the ended id that led here
    alerts: list[dict[str, Any]]  # the latest ones
    exposures: list[dict[str, Any]]  # of its hash: they concern every group of it
    decisions: list[dict[str, Any]]  # on its alerts, latest first


def totals(store: Store) -> Totals:
    """Groups by priority, scans without an alert, and the age of the file."""
    with store.reader() as reader:
        groups = reader.rows(
            "SELECT priority, count(*), count(*) FILTER (status = 'closed') FROM alert_groups "
            "GROUP BY priority ORDER BY min(priority_rank)"
        )
        hidden = reader.rows("SELECT count(*) FROM scans WHERE priority = 'low'")[0][0]
        published_at = reader.rows("SELECT published_at FROM published")[0][0]
        suppressed = reader.rows("SELECT count(*) FROM suppressed_alerts")[0][0]
    counts = {name: count for name, count, _ in groups}
    return Totals(counts, hidden, published_at, sum(closed for _, _, closed in groups), suppressed)


def groups(
    store: Store,
    limit: int | None = None,
    priority: str | None = None,
    since: datetime | None = None,
    status: str = "all",
    tenant: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of `alert_groups`, most urgent first, then latest first. `status`: one, `open` (not closed), or `all`."""
    filters = {"priority": priority, "since": since, "limit": limit, "status": status, "tenant": tenant}
    with store.reader() as reader:
        return reader.frame(
            f"""
            {_GROUPS}
            WHERE ($priority IS NULL OR priority = $priority) AND ($since IS NULL OR last_detected_at >= $since)
                AND ($tenant IS NULL OR tenant = $tenant)
                AND ($status = 'all' OR status = $status OR ($status = 'open' AND status <> 'closed'))
            ORDER BY priority_rank, last_detected_at DESC, group_id LIMIT $limit
            """,
            filters,
        ).to_dicts()


def group(store: Store, asked_for: str, latest: int) -> GroupDetails:
    """One group by its ID or ID prefix, also by an ID that has ended. Raises OperatorError."""
    with store.reader() as reader:
        group_id, ended = resolve_group(reader, asked_for)
        of_group = {"id": group_id, "latest": latest}
        found = reader.frame(f"{_GROUPS} WHERE group_id = $id::UUID", {"id": group_id}).to_dicts()[0]
        alerts = reader.frame(
            """
            SELECT
                alert_id::VARCHAR AS alert_id, detected_at, priority, verdict, response, disposition, sender, recipient,
                subject, file_name, message_id, cleared_at, status
            FROM alerts WHERE group_id = $id::UUID ORDER BY detected_at DESC, alert_id LIMIT $latest
            """,
            of_group,
        )
        exposures = reader.frame(
            """
            SELECT detected_at, recipient, verdict, disposition, direction, also_alerted, display_name, devices
            FROM exposures WHERE tenant = $tenant AND file_sha256 = $hash
            ORDER BY detected_at DESC, scan_id LIMIT $latest
            """,
            {"tenant": found["tenant"], "hash": found["file_sha256"], "latest": latest},
        )
        decisions = reader.frame(
            """
            SELECT
                decision_id::VARCHAR AS decision_id, "at", "by", status, close_reason, max(assignee) AS assignee,
                comment, count(*) AS alerts
            FROM triage_log SEMI JOIN alerts a ON a.alert_id = triage_log.alert_id AND a.group_id = $id::UUID
            GROUP BY ALL ORDER BY "at" DESC LIMIT $latest
            """,
            of_group,
        )
    return GroupDetails(found, ended, alerts.to_dicts(), exposures.to_dicts(), decisions.to_dicts())


def allow_list(store: Store, *, ended: bool) -> list[dict[str, Any]]:
    """Rows of `allow_list`, active ones first, then latest first; those that have ended only if asked for."""
    with store.reader() as reader:
        return reader.frame(
            "SELECT * REPLACE (entry_id::VARCHAR AS entry_id) FROM allow_list WHERE active OR $ended "
            "ORDER BY active DESC, created_at DESC, entry_id",
            {"ended": ended},
        ).to_dicts()


def health(store: Store) -> list[dict[str, Any]]:
    """Rows of `connector_health` by name."""
    with store.reader() as reader:
        return reader.frame("SELECT * FROM connector_health ORDER BY connector, last_success_at NULLS FIRST").to_dicts()


def resolve_group(reader: Connection, asked_for: str) -> tuple[str, str | None]:
    """The present group's ID, and the ended ID if that was given."""
    digits = prefix_digits(asked_for)
    found = reader.rows(
        """
        WITH ids AS (
            SELECT group_id::VARCHAR AS group_id, NULL AS ended FROM alert_groups
            UNION ALL
            SELECT group_id::VARCHAR, old_group_id::VARCHAR FROM group_aliases
            WHERE group_id IS NULL OR group_id IN (SELECT group_id FROM alert_groups)
        )
        SELECT * FROM ids WHERE starts_with(replace(coalesce(ended, group_id), '-', ''), $digits)
        ORDER BY ended IS NOT NULL, 1, 2
        """,
        {"digits": digits},
    )
    if digits and not found and (hidden := reader.rows(HIDDEN, {"digits": digits})):
        raise OperatorError(HIDES.format(f"group {hidden[0][0]}"))
    if not digits or not found:
        raise OperatorError(
            f"No group has an ID that begins with '{plain(asked_for)}'. See `attachment-alerts alerts`."
        )
    if len({group_id for group_id, _ in found}) > 1:
        ids = [ended or group_id for group_id, ended in found]
        raise OperatorError(ambiguous_prefix_message(asked_for, "groups", ids))
    if found[0][0] is None:
        raise OperatorError(_removed(reader, found[0][1]))
    return found[0]


def _removed(reader: Connection, group_id: str) -> str:
    since = reader.rows("SELECT since FROM group_aliases WHERE old_group_id = $id::UUID", {"id": group_id})[0][0]
    return f"Group {group_id} was deleted on {since:%Y-%m-%d} after the retention period of closed groups."
