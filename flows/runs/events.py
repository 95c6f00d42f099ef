"""The end of a run, told to Prefect as events: what came of it, and what of groups and connectors somebody should know.

Events are posted, not queued: only what the server has taken is marked as told; the next run sends the rest.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from prefect.client.orchestration import get_client
from prefect.events import Event, RelatedResource, Resource
from prefect.runtime import flow_run

from tasks.ingest.run_stats import RunStats
from tasks.notifications import changes, connector_changes, outbox
from tasks.notifications.events import PREFIX, OutboundEvent, connector_resource
from tasks.notifications.outbox import NotificationSource
from tasks.sanitize import plain
from tasks.source import Source
from tasks.store.store import Store

log = logging.getLogger("attachment_alerts.telling")

WORDS = 20  # unseen ones in an event


def send_run_events(store: Store, source: Source, trigger: changes.Cause, summary: RunStats) -> None:
    """Tell that a run of a connector is done, what it met that nobody knew, and what waits to be told."""
    now = datetime.now(UTC)
    with store.transaction() as transaction:
        state = connector_changes.record_connector_change(transaction, source, trigger, now)
        waiting = outbox.claim(
            transaction, NotificationSource(source.connector_id, trigger == "backfill"), store.settings, now
        )
    about = connector_resource(source.name) | {
        f"{PREFIX}tenant": source.tenant,
        f"{PREFIX}trigger": trigger,
        f"{PREFIX}state": state,
        f"{PREFIX}polling-minutes": str(source.polling_minutes),
    }
    _send(store, [*_of_run(about, summary), *waiting])


def send_pending_events(store: Store) -> None:
    """Tell what a change by a person or by another flow has left to tell."""
    with store.transaction() as transaction:
        waiting = outbox.claim(transaction, NotificationSource(), store.settings, datetime.now(UTC))
    _send(store, waiting)


def _send(store: Store, happenings: Sequence[OutboundEvent]) -> None:
    if happenings and _post(happenings):
        with store.transaction() as transaction:
            outbox.mark_sent(transaction, happenings, datetime.now(UTC))


def _of_run(about: dict[str, str], summary: RunStats) -> list[OutboundEvent]:
    counts: dict[str, Any] = summary.as_counts()
    words = [plain(word) for word in counts.pop("unseen")[:WORDS]]
    del counts["leftover"], counts["errors"]  # the run's page has them
    found = [OutboundEvent(uuid4(), f"{PREFIX}run.done", about, counts)]
    if words:
        found.append(OutboundEvent(uuid4(), f"{PREFIX}word.unseen", about, {"words": words}))
    return found


def _post(happenings: Sequence[OutboundEvent]) -> bool:
    """Whether the Prefect API in use has taken them. A run does not fail for it."""
    run_id = flow_run.get_id()
    of_run = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}
    related = [RelatedResource(of_run)] if run_id else []
    events = [
        Event(event=name, resource=Resource(resource), related=related, payload=payload, id=event_id)
        for event_id, name, resource, payload in happenings
    ]
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[each.model_dump(mode="json") for each in events])
    except httpx.HTTPError as error:
        log.warning(
            "the Prefect server did not take %d events (%s); the next run sends them again",
            len(events),
            type(error).__name__,
        )
        return False
    return True
