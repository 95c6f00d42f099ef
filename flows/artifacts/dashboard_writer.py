"""Writes the dashboards in the Prefect UI at the end of a run.

A dashboard that Prefect rejects is a warning only: the tables have the changes.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from flows.artifacts.dashboards import LastRun, health_page, urgent_page
from flows.artifacts.run_summary import Outcome, Run
from tasks.errors import AlertsError
from tasks.ingest import registry
from tasks.queries.run_overview import GroupList, health_by_connector, urgent
from tasks.source import Source
from tasks.store.store import Store

log = logging.getLogger("attachment_alerts.pull")

HEALTH, URGENT = "health-", "open-high-priority-groups"


def write_health(source: Source, health: dict[str, Any] | None, last: LastRun) -> None:
    """Write the health of a connector after its run."""
    polling = timedelta(minutes=source.polling_minutes)
    create_markdown_artifact(
        key=HEALTH + source.name,
        markdown=health_page(source.name, health, polling, datetime.now(UTC), last),
        description=f"Health of the connector {source.name}, after its last run",
    )


def write_health_after_run(store: Store, source: Source, began_at: datetime, state: State[Any]) -> None:
    """Write the health of a connector that delivers no scans, after its run ended in this state."""
    last = LastRun(Run(source.name, "poll", began_at), Outcome(state.type.value.lower(), state.message or ""))
    try:
        source = registry.with_current_name(store, source)
        write_health(source, health_by_connector(store).get(source.name), last)
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("Could not write the health page (%s). The next run writes it.", type(error).__name__)


def write_urgent(groups: GroupList) -> None:
    """Write the page of open groups."""
    create_markdown_artifact(
        key=URGENT, markdown=urgent_page(groups, datetime.now(UTC)), description="Open alert groups of high priority"
    )


def write_urgent_after_change(store: Store) -> None:
    """Write the page of open groups after triage or maintenance; within a flow run."""
    try:
        write_urgent(urgent(store))
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("Could not write the page of open groups (%s). The next run writes it.", type(error).__name__)
