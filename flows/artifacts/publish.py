"""What a run shows in the Prefect UI: its progress, its groups, its figures; it also updates the dashboards.

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
from flows.artifacts.dashboards import Last
from flows.artifacts.run_context import STOPPED, RunContext
from flows.artifacts.run_summary import Run, group_rows, groups_title, summary_page
from tasks.errors import AlertsError
from tasks.ingest import registry
from tasks.queries.run_overview import Overview, overview
from tasks.window import Trigger

log = logging.getLogger("attachment_alerts.pull")

# Called as the bar in the UI is updated: for a command that runs the flow in its own process.
WATCH: ContextVar[Callable[[int, int], None]] = ContextVar("watch", default=lambda done, total: None)


@contextmanager
def run_context(connector: str, trigger: Trigger) -> Iterator[RunContext]:
    """Write the pages of a run when it ends, however it ends."""
    context = RunContext(connector, trigger)
    try:
        yield context
    finally:
        after = _read(context)
        try:
            _write(context, after)
        except httpx.HTTPError as refused:
            log.warning("Prefect did not take the pages about this run (%s)", type(refused).__name__)


def _write(context: RunContext, after: Overview | None) -> None:
    run = Run(context.connector, context.trigger, context.began_at, context.window, tuple(context.notes))
    if after and after.changed.rows:
        rows = group_rows(after.changed, context.stats.opened)
        create_table_artifact(table=rows, description=groups_title(after.changed, context.stats))
    create_markdown_artifact(
        markdown=summary_page(run, context.outcome, context.stats, after),
        description=f"What this {context.trigger} of {run.name} did",
    )
    if context.source is None:  # nothing is saved under that name: it has no health
        return
    dashboard_writer.write_health(context.source, after and after.health, Last(run, context.outcome))
    if after:
        dashboard_writer.write_urgent(after.urgent)


def _read(context: RunContext) -> Overview | None:
    """The tables after the run; None where they cannot be read, which the run has met itself as a rule."""
    if context.store is None or context.source is None:
        return None
    published = context.publisher is not None and context.publisher.is_up_to_date
    stopped = flow_run.get_id() if context.outcome is STOPPED else None
    try:
        context.source = registry.with_current_name(context.store, context.source)
        after = overview(context.store, context.source.name, context.stats.groups, published=published, stopped=stopped)
    except AlertsError as error:
        log.warning("the tables could not be read for the pages about this run: %s", error)
        return None
    if stopped:
        log.info("stopped; slices of this run that are complete and kept: %d", after.complete)
    return after


class ProgressBar:
    """A bar on the run's page. One slice alone needs none."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: UUID | None = None

    def __call__(self, done: int, total: int) -> None:
        if done:
            WATCH.get()(done, total)
        if total <= 1:
            return
        if self._bar is None:
            text = f"{self._what}: {total} slices to fetch"
            self._bar = cast(UUID, create_progress_artifact(progress=100.0 * done / total, description=text))
        else:
            text = f"{self._what}: {done} of {total} slices done"
            update_progress_artifact(self._bar, progress=100.0 * done / total, description=text)
