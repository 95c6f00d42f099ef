"""The schedule of a connector's deployment: its interval, and how it is switched on once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentScheduleUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule

from tasks.connectors.base import Connector

POLL = "poll"  # slug after a successful connection test, or after a person has switched the schedule on
UNTESTED = "poll-once-tested"  # slug before that
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def schedule_change(present: DeploymentSchedule, connector: Connector) -> DeploymentScheduleUpdate | None:
    """A new interval, or switching the schedule on for the first time; None if nothing changes."""
    change: dict[str, Any] = {}
    if present.slug == UNTESTED and (connector.tested_at or present.active):
        change = {"slug": POLL, "replaces": UNTESTED, "active": True}
    if present.schedule != (schedule := _schedule(connector)):
        change = {"slug": present.slug, "schedule": schedule} | change
    return DeploymentScheduleUpdate(**change) if change else None


def _schedule(connector: Connector) -> IntervalSchedule:
    """The start is offset by the connector's id, so that connectors are not all due at the same second."""
    seconds = int(connector.every.total_seconds())
    offset = connector.connector_id.int % seconds if connector.connector_id else 0
    return IntervalSchedule(interval=connector.every, anchor_date=EPOCH + timedelta(seconds=offset), timezone="UTC")


def new_schedule(connector: Connector) -> DeploymentScheduleCreate:
    tested = connector.tested_at is not None
    slug = POLL if tested else UNTESTED
    return DeploymentScheduleCreate(schedule=_schedule(connector), active=tested, slug=slug)


def copy_schedules(before: DeploymentResponse, connector: Connector) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment that replaces `before`, with the same switches."""
    return [
        DeploymentScheduleCreate(
            schedule=_schedule(connector) if schedule.slug in (POLL, UNTESTED) else schedule.schedule,
            active=schedule.active,
            slug=schedule.slug,
        )
        for schedule in before.schedules
    ]
