"""What an event says about the notices that it tells: of groups, of a connector, of a digest (no mail content)."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl

from tasks.sanitize import plain

NAMES = {
    "group_opened": "group.opened",
    "group_reopened": "group.reopened",
    "group_raised": "group.raised",
    "exposure_found": "exposure.found",
    "released": "attachment.released",
    "suppression_expired": "suppression.expired",
    "reminder": "group.still-new",
    "connector_lost": "connector.lost",
    "connector_back": "connector.back",
    "connector_quiet": "connector.quiet",
    "gap_found": "gap.found",
}
"""Kind of a notice → its event's name after the prefix. Where several met, the first of a group is the message."""
PREFIX = "attachment-alerts."
OF_CONNECTORS = [kind for kind in NAMES if kind.startswith(("connector_", "gap_"))]
EXAMPLES = 10  # ids of groups that a digest names


class OutboundEvent(NamedTuple):
    """An event that is to be sent; the id is the same in every attempt."""

    event_id: UUID
    name: str
    resource: dict[str, str]
    payload: dict[str, Any]


def single_events(decided: pl.DataFrame) -> list[OutboundEvent]:
    """An event for each notice that is told by itself, and for releases that share one."""
    events: dict[str, list[dict[str, Any]]] = {}
    for row in decided.filter(~pl.col("digest")).to_dicts():
        events.setdefault(row["told_with"], []).append(row)
    return [_of_several(rows) if len(rows) > 1 else _of_one(rows[0]) for rows in events.values()]


def _of_one(row: dict[str, Any]) -> OutboundEvent:
    return _of_connector(row) if row["group_id"] is None else _of_group(row)


def _of_several(rows: list[dict[str, Any]]) -> OutboundEvent:
    event_id, tenant = rows[0]["told_with"], rows[0]["tenant"]
    resource = {
        "prefect.resource.id": f"{PREFIX}released.{event_id}",
        "prefect.resource.name": f"{len(rows)} groups",
        **_labels(rows[0]),
    }
    payload = {"tenant": tenant, "groups": len(rows), "each": [_group(row) for row in rows]}
    return OutboundEvent(UUID(event_id), PREFIX + NAMES[rows[0]["kind"]], resource, payload)


def _group(row: dict[str, Any]) -> dict[str, Any]:
    names = {
        "tenant": "tenant",
        "group_id": "group_id",
        "priority": "priority",
        "file_sha256": "file_sha256",
        "alerts": "alert_count",
        "recipients": "recipient_count",
        "users": "user_count",
        "devices": "device_count",
        "exposed": "exposure_count",
        "released": "released_count",
        "first_detected_at": "first_detected_at",
        "last_detected_at": "last_detected_at",
    }
    return {name: _json(row[column]) for name, column in names.items()} | {"cause": row["cause"]}


def _of_group(row: dict[str, Any]) -> OutboundEvent:
    resource = {
        "prefect.resource.id": f"{PREFIX}group.{row['group_id']}",
        "prefect.resource.name": f"group {row['group_id'][:8]}",
        f"{PREFIX}priority": row["priority"],
        **_labels(row),
    }
    return OutboundEvent(UUID(row["told_with"]), PREFIX + NAMES[row["kind"]], resource, _group(row))


def _of_connector(row: dict[str, Any]) -> OutboundEvent:
    payload = {
        "tenant": row["tenant"],
        "connector": row["connector"],
        "state": row["state"],
        "error": plain(row["last_error"], 500) if row["last_error"] else None,
        "complete_until": _json(row["watermark"]),
    }
    resource = connector_resource(row["connector"]) | _labels(row)
    return OutboundEvent(UUID(row["notice_id"]), PREFIX + NAMES[row["kind"]], resource, payload)


def connector_resource(name: str) -> dict[str, str]:
    """The connector as Prefect's events name what they are about."""
    return {"prefect.resource.id": f"{PREFIX}connector.{name}", "prefect.resource.name": name}


def _labels(row: dict[str, Any]) -> dict[str, str]:
    """What a trigger can match: it sees the resource, not the payload."""
    return {f"{PREFIX}tenant": row["tenant"], f"{PREFIX}urgent": "true" if row["urgent"] else "false"}


def digest_events(decided: pl.DataFrame) -> list[OutboundEvent]:
    """An event for each digest."""
    digests = decided.filter("digest").partition_by("told_with", maintain_order=True)
    return [_digest(rows.sort("priority_rank", "at", "notice_id")) for rows in digests]


def _digest(rows: pl.DataFrame) -> OutboundEvent:
    groups = rows.unique("group_id", maintain_order=True)
    digest_id, tenant = rows["told_with"][0], rows["tenant"][0]
    payload = {
        "tenant": tenant,
        "groups": len(groups),
        "high": groups.filter(pl.col("priority") == "high").height,
        "changes": _counts(rows, "kind"),
        "causes": _counts(rows, "cause"),
        "group_ids": groups["group_id"].head(EXAMPLES).to_list(),
    }
    resource = {
        "prefect.resource.id": f"{PREFIX}digest.{digest_id}",
        "prefect.resource.name": f"{len(groups)} groups",
        **_labels({"tenant": tenant, "urgent": rows["urgent"].any()}),
    }
    return OutboundEvent(UUID(digest_id), f"{PREFIX}digest", resource, payload)


def _counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(rows[column].value_counts(sort=True).sort(column).iter_rows())


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
