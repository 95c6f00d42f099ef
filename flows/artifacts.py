"""What a run leaves in the Prefect UI: its progress, its groups, its figures, and the standing pages.

An artifact that Prefect does not take is a warning: what was fetched is in the tables all the same.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import State

from flows.run_page import Outcome, Run, group_rows, groups_title, summary_page
from flows.standing import UNKNOWN, Last, heading, health_page, urgent_page
from tasks.connectors import prefect_client
from tasks.database import Store
from tasks.errors import AlertsError
from tasks.ledger import Source
from tasks.overview import Listed, Overview, healths, overview, urgent
from tasks.publishing import Publisher
from tasks.summary import Summary
from tasks.window import Interval, Trigger

log = logging.getLogger("attachment_alerts.pull")

URGENT = "open-high-priority-groups"
# Told the same as the bar in the UI: whoever started the flow in this process may watch.
WATCH: ContextVar[Callable[[int, int], None]] = ContextVar("watch", default=lambda done, total: None)
STOPPED = Outcome("stopped", "Stopped before its end. Complete slices are kept; the next run fetches the rest.")


@dataclass
class Told:
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
    summary: Summary = field(default_factory=Summary)
    outcome: Outcome = STOPPED


@contextmanager
def telling(connector: str, trigger: Trigger) -> Iterator[Told]:
    """Write the pages of a run when it ends, however it ends."""
    told = Told(connector, trigger)
    try:
        yield told
    finally:
        try:
            _write(told)
        except httpx.HTTPError as refused:
            log.warning("Prefect did not take the pages about this run (%s)", type(refused).__name__)


def _write(told: Told) -> None:
    run = Run(told.connector, told.trigger, told.began_at, told.window, tuple(told.notes))
    after = _read(told)
    if after and after.changed.rows:
        rows = group_rows(after.changed, told.summary.opened)
        create_table_artifact(table=rows, description=groups_title(after.changed, told.summary))
    create_markdown_artifact(
        markdown=summary_page(run, told.outcome, told.summary, after),
        description=f"What this {told.trigger} of {run.name} did",
    )
    if told.source is None:  # nothing is saved under that name: it has no health
        return
    _write_health(told.source, after and after.health, Last(run, told.outcome))
    if after:
        _write_urgent(after.urgent, datetime.now(UTC))


def _write_health(source: Source, health: dict[str, Any] | None, last: Last) -> None:
    polling = timedelta(minutes=source.polling_minutes)
    create_markdown_artifact(
        key=_health_key(source.name),
        markdown=health_page(source.name, health, polling, datetime.now(UTC), last),
        description=f"Health of the connector {source.name}, after its last run",
    )


def health_after(store: Store, source: Source, began_at: datetime, state: State[Any]) -> None:
    """Write the health of a connector that brings no scans, after its run that has come to this state."""
    last = Last(Run(source.name, "poll", began_at), Outcome(state.type.value.lower(), state.message or ""))
    try:
        _write_health(source, healths(store).get(source.name), last)
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("the page of health could not be written (%s); the next run does", type(error).__name__)


def _health_key(connector: str) -> str:
    return f"health-{connector}"


def _write_urgent(listed: Listed, now: datetime) -> None:
    create_markdown_artifact(
        key=URGENT, markdown=urgent_page(listed, now), description="Open alert groups of high priority"
    )


def urgent_anew(store: Store) -> None:
    """Write the page of open groups after a change that no run of a connector has made; within a flow run."""
    try:
        _write_urgent(urgent(store), datetime.now(UTC))
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("the page of open groups could not be written (%s); the next run does", type(error).__name__)


def health_anew(store: Store, sources: Iterable[Source]) -> None:
    """Write the health of connectors whose state is no longer what their page shows: no run tells of its absence.

    A page without a state is left to the next run: it shows why that run could not read the tables.
    """
    rows, now = healths(store), datetime.now(UTC)
    known = {_health_key(source.name): source for source in sources if source.name in rows}
    with prefect_client() as client:
        asked = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=list(known)))
        found = client.read_latest_artifacts(artifact_filter=asked) if known else []
        shown = {page.key: str(page.data).partition("\n")[0] for page in found}
        for key, source in known.items():
            health = rows[source.name]
            if shown.get(key) in (heading(source.name, health["state"]), heading(source.name, UNKNOWN)):
                continue
            markdown = health_page(source.name, health, timedelta(minutes=source.polling_minutes), now)
            says = f"Health of the connector {source.name}, when its state had changed"
            client.create_artifact(ArtifactCreate(key=key, type="markdown", data=markdown, description=says))


def _read(told: Told) -> Overview | None:
    """The tables after the run; None where they cannot be read, which the run has met itself as a rule."""
    if told.store is None:
        return None
    published = told.publisher is not None and told.publisher.shows_all
    try:
        return overview(told.store, told.connector, told.summary.groups, published=published)
    except AlertsError as error:
        log.warning("the tables could not be read for the pages about this run: %s", error)
        return None


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
