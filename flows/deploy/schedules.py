"""The schedule of a connector's deployment: its frequency, and the one time when it is switched on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentScheduleUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule

from tasks.connectors.base import Connector

POLL = "poll"  # slug of a schedule …
UNTESTED = "poll-once-tested"  # … and until a connection test has passed, or a person has switched it on before
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def schedule_change(present: DeploymentSchedule, connector: Connector) -> DeploymentScheduleUpdate | None:
    """Another frequency, or the one time when a schedule is switched on; None where it is as it should be."""
    change: dict[str, Any] = {}
    if present.slug == UNTESTED and (connector.tested_at or present.active):
        change = {"slug": POLL, "replaces": UNTESTED, "active": True}
    if present.schedule != (schedule := _schedule(connector)):
        change = {"slug": present.slug, "schedule": schedule} | change
    return DeploymentScheduleUpdate(**change) if change else None


def _schedule(connector: Connector) -> IntervalSchedule:
    """Its frequency; when it begins follows from the connector's id, so that not all are due at the same second."""
    seconds = int(connector.every.total_seconds())
    offset = connector.connector_id.int % seconds if connector.connector_id else 0
    return IntervalSchedule(interval=connector.every, anchor_date=EPOCH + timedelta(seconds=offset), timezone="UTC")


def new_schedule(connector: Connector) -> DeploymentScheduleCreate:
    tested = connector.tested_at is not None
    slug = POLL if tested else UNTESTED
    return DeploymentScheduleCreate(schedule=_schedule(connector), active=tested, slug=slug)


def copy_schedules(before: DeploymentResponse, connector: Connector) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment for the one that takes its place, their switches as they were."""
    return [
        DeploymentScheduleCreate(
            schedule=_schedule(connector) if each.slug in (POLL, UNTESTED) else each.schedule,
            active=each.active,
            slug=each.slug,
        )
        for each in before.schedules
    ]
