"""Prefect events about a group, a connector or a digest: names, resources and payloads, without contents of mails."""

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
"""Kind of a notice → name of its event after the prefix, the most important kind first."""
PREFIX = "attachment-alerts."
OF_CONNECTORS = [kind for kind in NAMES if kind.startswith(("connector_", "gap_"))]
EXAMPLES = 10  # group IDs in a digest


class OutboundEvent(NamedTuple):
    """An event to send; its id is the same in every attempt."""

    event_id: UUID
    name: str
    resource: dict[str, str]
    payload: dict[str, Any]


def single_events(assigned: pl.DataFrame) -> list[OutboundEvent]:
    """An event for each change that is not part of a digest, urgent if one of its notices is."""
    notices = assigned.filter(~pl.col("digest")).with_columns(pl.col("urgent").any().over("event_id"))
    rows = notices.unique("event_id", keep="first", maintain_order=True).to_dicts()
    return [_connector_event(row) if row["group_id"] is None else _group_event(row) for row in rows]


def _group_event(row: dict[str, Any]) -> OutboundEvent:
    columns = {
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
        "cause": "cause",
    }
    resource = {
        "prefect.resource.id": f"{PREFIX}group.{row['group_id']}",
        "prefect.resource.name": f"group {row['group_id'][:8]}",
        f"{PREFIX}priority": row["priority"],
        **_labels(row["tenant"], urgent=row["urgent"]),
    }
    payload = {name: _json(row[column]) for name, column in columns.items()}
    return OutboundEvent(UUID(row["event_id"]), PREFIX + NAMES[row["kind"]], resource, payload)


def _connector_event(row: dict[str, Any]) -> OutboundEvent:
    payload = {
        "tenant": row["tenant"],
        "connector": row["connector"],
        "state": row["state"],
        "error": plain(row["last_error"], 500) if row["last_error"] else None,
        "complete_until": _json(row["watermark"]),
    }
    resource = connector_resource(row["connector"]) | _labels(row["tenant"], urgent=row["urgent"])
    return OutboundEvent(UUID(row["event_id"]), PREFIX + NAMES[row["kind"]], resource, payload)


def connector_resource(name: str) -> dict[str, str]:
    """The connector as the resource of a Prefect event."""
    return {"prefect.resource.id": f"{PREFIX}connector.{name}", "prefect.resource.name": name}


def _labels(tenant: str, *, urgent: bool) -> dict[str, str]:
    """Labels for triggers, which can match the resource but not the payload."""
    return {f"{PREFIX}tenant": tenant, f"{PREFIX}urgent": "true" if urgent else "false"}


def digest_events(assigned: pl.DataFrame) -> list[OutboundEvent]:
    """An event for each digest."""
    digests = assigned.filter("digest").partition_by("event_id", maintain_order=True)
    return [_digest_event(rows.sort("priority_rank", "at", "notice_id")) for rows in digests]


def _digest_event(rows: pl.DataFrame) -> OutboundEvent:
    groups = rows.unique("group_id", maintain_order=True)
    changes = rows.unique(["group_id", "kind"], maintain_order=True)  # one slice each may have reported the same change
    digest_id, tenant = rows["event_id"][0], rows["tenant"][0]
    payload = {
        "tenant": tenant,
        "groups": len(groups),
        "high": groups.filter(pl.col("priority") == "high").height,
        "changes": _counts(changes, "kind"),
        "causes": _counts(changes, "cause"),
        "group_ids": groups["group_id"].head(EXAMPLES).to_list(),
    }
    resource = {
        "prefect.resource.id": f"{PREFIX}digest.{digest_id}",
        "prefect.resource.name": f"{len(groups)} groups",
        **_labels(tenant, urgent=bool(rows["urgent"].any())),
    }
    return OutboundEvent(UUID(digest_id), f"{PREFIX}digest", resource, payload)


def _counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(rows[column].value_counts(sort=True).sort(column).iter_rows())


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
