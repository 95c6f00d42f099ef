"""The standing pages in the Prefect UI: written by runs, and anew where they show what is no longer true.

A page that Prefect does not take is a warning: what was done is in the tables all the same.
"""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import State

from flows.artifacts.dashboards import (
    UNKNOWN,
    Last,
    gone_page,
    heading,
    health_page,
    is_health,
    revision_of,
    urgent_page,
)
from flows.artifacts.run_summary import Outcome, Run
from tasks.connectors.prefect_client import all_pages, api_location, prefect_client
from tasks.errors import AlertsError
from tasks.ingest import registry
from tasks.queries.run_overview import GroupList, health_by_connector, urgent, urgent_as_published
from tasks.saved_connectors import saved_names
from tasks.source import Source
from tasks.store.store import Store

log = logging.getLogger("attachment_alerts.pull")

HEALTH, URGENT = "health-", "open-high-priority-groups"
OPEN = "Open alert groups of high priority"
_followed: dict[tuple[str, str], int] = {}
"""Copy and Prefect API → revision of the copy for which the page of open groups is known to be right"""


def write_health(source: Source, health: dict[str, Any] | None, last: Last) -> None:
    """Write the health of a connector after its run."""
    polling = timedelta(minutes=source.polling_minutes)
    create_markdown_artifact(
        key=HEALTH + source.name,
        markdown=health_page(source.name, health, polling, datetime.now(UTC), last),
        description=f"Health of the connector {source.name}, after its last run",
    )


def write_health_after_run(store: Store, source: Source, began_at: datetime, state: State[Any]) -> None:
    """Write the health of a connector that brings no scans, after its run that has come to this state."""
    last = Last(Run(source.name, "poll", began_at), Outcome(state.type.value.lower(), state.message or ""))
    try:
        source = registry.with_current_name(store, source)
        write_health(source, health_by_connector(store).get(source.name), last)
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("the page of health could not be written (%s); the next run does", type(error).__name__)


def refresh_health(store: Store, sources: Collection[Source]) -> None:
    """Write the health of connectors whose state is no longer what their page shows: no run tells of its absence.

    A page of a name that is not saved any more says so. One without a state is left to the next run: it shows why that
    run could not read the tables.
    """
    rows, now = health_by_connector(store), datetime.now(UTC)
    with prefect_client() as client:
        pages = _latest(client, like_=f"{HEALTH}%")  # also those whose key has it somewhere else
        shown = {key: page.partition("\n")[0] for key, page in pages.items() if key.startswith(HEALTH)}
        for source in (each for each in sources if each.name in rows):
            health, key = rows[source.name], HEALTH + source.name
            if shown.get(key) in (heading(source.name, health["state"]), heading(source.name, UNKNOWN)):
                continue
            page = health_page(source.name, health, timedelta(minutes=source.polling_minutes), now)
            _write(client, key, page, f"Health of the connector {source.name}, when its state had changed")
        of_ours = {name for key, title in shown.items() if is_health(name := key.removeprefix(HEALTH), title)}
        others = of_ours - {source.name for source in sources}
        for name in others - saved_names().keys() if others else ():
            _write_gone(client, name, "removed", "It is polled no more. What it brought is kept unless purged.")


def mark_health_page_renamed(old: str, new: str) -> None:
    """Let the page of a connector's old name say which name it has now."""
    with prefect_client() as client:
        if _latest(client, any_=[HEALTH + old]):
            _write_gone(client, old, f"renamed to {new}", f"Its page is `{HEALTH}{new}` now.")


def write_urgent(listed: GroupList) -> None:
    """Write the page of open groups."""
    page = urgent_page(listed, datetime.now(UTC))
    create_markdown_artifact(key=URGENT, markdown=page, description=OPEN)


def refresh_urgent(store: Store) -> None:
    """Write the page of open groups after a change that no run of a connector has made; within a flow run."""
    try:
        write_urgent(urgent(store))
    except (AlertsError, httpx.HTTPError) as error:
        log.warning("the page of open groups could not be written (%s); the next run does", type(error).__name__)


def refresh_urgent_if_stale(store: Store) -> None:
    """Write the page of open groups where the published copy is newer than what it was made from.

    What commands change no run tells. Asked again and again: nothing is asked of Prefect while nothing is published.
    """
    revision, place = store.published_revision(), (store.published_location, api_location())
    if revision is None or _followed.get(place) == revision:
        return
    with prefect_client() as client:
        page = _latest(client, any_=[URGENT]).get(URGENT, "")
        if revision_of(page) < revision:
            listed = urgent_as_published(store)
            if page or listed.rows:
                _write(client, URGENT, urgent_page(listed, datetime.now(UTC)), OPEN)
    _followed[place] = revision


def _latest(client: SyncPrefectClient, **keys: Any) -> dict[str, str]:
    """The latest version of the pages with such keys."""
    asked = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(**keys))
    found = all_pages(
        lambda limit, offset: client.read_latest_artifacts(artifact_filter=asked, limit=limit, offset=offset)
    )
    return {each.key: str(each.data) for each in found}


def _write_gone(client: SyncPrefectClient, name: str, fate: str, says: str) -> None:
    page = gone_page(name, fate, says, datetime.now(UTC))
    _write(client, HEALTH + name, page, f"What became of the connector {name}")


def _write(client: SyncPrefectClient, key: str, markdown: str, says: str) -> None:
    client.create_artifact(ArtifactCreate(key=key, type="markdown", data=markdown, description=says))
