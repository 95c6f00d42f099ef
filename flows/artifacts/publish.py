"""What a run leaves in the Prefect UI: its progress, its groups, its figures; it also writes the standing pages.

An artifact that Prefect does not take is a warning: what was fetched is in the tables all the same.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from flows.artifacts.run_summary import Outcome, Run, group_rows, groups_title, summary_page
from tasks.errors import AlertsError
from tasks.ingest import registry
from tasks.ingest.run_stats import RunStats
from tasks.queries.run_overview import Overview, overview
from tasks.source import Source
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Interval, Trigger

log = logging.getLogger("attachment_alerts.pull")

# Told the same as the bar in the UI: whoever started the flow in this process may watch.
WATCH: ContextVar[Callable[[int, int], None]] = ContextVar("watch", default=lambda done, total: None)
STOPPED = Outcome("stopped", "Stopped before its end. Complete slices are kept; the next run fetches the rest.")


@dataclass
class RunContext:
    """What a run knows about itself so far; filled in as it goes on."""

    connector: str
    trigger: Trigger
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    store: Store | None = None
    source: Source | None = None
    publisher: Publisher | None = None
    window: tuple[Interval, ...] = ()
    notes: list[str] = field(default_factory=list)
    """what of the time asked for is not fetched"""
    summary: RunStats = field(default_factory=RunStats)
    outcome: Outcome = STOPPED


@contextmanager
def run_context(connector: str, trigger: Trigger) -> Iterator[RunContext]:
    """Write the pages of a run when it ends, however it ends."""
    told = RunContext(connector, trigger)
    try:
        yield told
    finally:
        after = _read(told)
        try:
            _write(told, after)
        except httpx.HTTPError as refused:
            log.warning("Prefect did not take the pages about this run (%s)", type(refused).__name__)


def _write(told: RunContext, after: Overview | None) -> None:
    run = Run(told.connector, told.trigger, told.began_at, told.window, tuple(told.notes))
    if after and after.changed.rows:
        rows = group_rows(after.changed, told.summary.opened)
        create_table_artifact(table=rows, description=groups_title(after.changed, told.summary))
    create_markdown_artifact(
        markdown=summary_page(run, told.outcome, told.summary, after),
        description=f"What this {told.trigger} of {run.name} did",
    )
    if told.source is None:  # nothing is saved under that name: it has no health
        return
    dashboard_writer.write_health(told.source, after and after.health, Last(run, told.outcome))
    if after:
        dashboard_writer.write_urgent(after.urgent)


def _read(told: RunContext) -> Overview | None:
    """The tables after the run; None where they cannot be read, which the run has met itself as a rule."""
    if told.store is None or told.source is None:
        return None
    published = told.publisher is not None and told.publisher.shows_all
    stopped = flow_run.get_id() if told.outcome is STOPPED else None
    try:
        told.source = registry.with_current_name(told.store, told.source)
        after = overview(told.store, told.source.name, told.summary.groups, published=published, stopped=stopped)
    except AlertsError as error:
        log.warning("the tables could not be read for the pages about this run: %s", error)
        return None
    if stopped:
        log.info("stopped; slices of this run that are complete and kept: %d", after.complete)
    return after


@contextmanager
def progress_artifact(what: str, slices: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on the run's page, told how many of how many slices are done. One slice alone needs none."""
    watch = WATCH.get()
    if slices <= 1:
        yield watch
        return
    bar = cast(UUID, create_progress_artifact(progress=0.0, description=f"{what}: {slices} slices to fetch"))

    def progress(done: int, total: int) -> None:
        says = f"{what}: {done} of {total} slices done"
        update_progress_artifact(bar, progress=100.0 * done / total, description=says)
        watch(done, total)

    yield progress
