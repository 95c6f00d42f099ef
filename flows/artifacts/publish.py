"""Artifacts of a poll or backfill in the Prefect UI: its progress, and at its end groups, counts and dashboards.

An artifact that Prefect rejects is a warning only: what was fetched is in the tables.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run

from flows.artifacts import dashboard_writer
from flows.artifacts.dashboards import LastRun
from flows.artifacts.run_context import STOPPED, RunContext
from flows.artifacts.run_summary import Run, group_rows, groups_title, summary_page
from tasks.errors import AlertsError
from tasks.ingest import registry
from tasks.queries.run_overview import Overview, overview
from tasks.window import Trigger

log = logging.getLogger("attachment_alerts.pull")

# Called with the numbers of finished and of all slices, for a command that runs the flow in its own process.
WATCH: ContextVar[Callable[[int, int], None]] = ContextVar("watch", default=lambda done, total: None)


@contextmanager
def run_context(connector: str, trigger: Trigger) -> Iterator[RunContext]:
    """Write the artifacts of a run when it ends, also when it fails or is stopped."""
    context = RunContext(connector, trigger)
    try:
        yield context
    finally:
        after = _read(context)
        try:
            _write(context, after)
        except httpx.HTTPError as error:
            log.warning("Prefect did not store the artifacts of this run (%s)", type(error).__name__)


def _write(context: RunContext, after: Overview | None) -> None:
    run = Run(context.connector, context.trigger, context.began_at, context.window, tuple(context.notes))
    if after and after.changed.rows:
        rows = group_rows(after.changed, context.stats.opened)
        create_table_artifact(table=rows, description=groups_title(after.changed, context.stats))
    create_markdown_artifact(
        markdown=summary_page(run, context.outcome, context.stats, after),
        description=f"Result of this {context.trigger} of {run.name}",
    )
    if context.source is None:  # no connector is saved under that name
        return
    dashboard_writer.write_health(context.source, after and after.health, LastRun(run, context.outcome))
    if after:
        dashboard_writer.write_urgent(after.urgent)


def _read(context: RunContext) -> Overview | None:
    """The tables after the run; None if they cannot be read, which usually is why the run failed."""
    if context.store is None or context.source is None:
        return None
    published = context.publisher is not None and context.publisher.is_up_to_date
    stopped = flow_run.get_id() if context.outcome is STOPPED else None
    try:
        context.source = registry.with_current_name(context.store, context.source)
        after = overview(context.store, context.source.name, context.stats.groups, published=published, stopped=stopped)
    except AlertsError as error:
        log.warning("Could not read the tables for the artifacts of this run: %s", error)
        return None
    if stopped:
        log.info("Stopped. Complete slices of this run, which stay stored: %d", after.complete)
    return after


class ProgressBar:
    """A progress artifact of a run with more than one slice."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._artifact_id: UUID | None = None

    def __call__(self, done: int, total: int) -> None:
        if done:
            WATCH.get()(done, total)
        if total <= 1:
            return
        if self._artifact_id is None:
            text = f"{self._title}: {total} slices to fetch"
            self._artifact_id = cast(UUID, create_progress_artifact(progress=100.0 * done / total, description=text))
        else:
            text = f"{self._title}: {done} of {total} slices done"
            update_progress_artifact(self._artifact_id, progress=100.0 * done / total, description=text)
