"""Sends Prefect events at the end of a run: its result, and the pending notices of groups and connectors.

Events are posted, not queued: only what the server has accepted is marked as sent, and the next run sends the rest.
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

from flows.runs import message_run
from tasks.errors import AlertsError
from tasks.ingest.run_stats import RunStats
from tasks.notifications import changes, connector_changes, outbox
from tasks.notifications.events import PREFIX, OutboundEvent, connector_resource
from tasks.notifications.outbox import NotificationSource
from tasks.sanitize import plain
from tasks.settings import load_settings
from tasks.source import Source
from tasks.store.factory import open_store
from tasks.store.store import Store

log = logging.getLogger("attachment_alerts.telling")

MAX_UNSEEN = 20  # unrecognised values in an event


def send_run_events(store: Store, source: Source, trigger: changes.Cause, stats: RunStats) -> None:
    """Send the result of a connector's run, its unrecognised values, and the pending notices."""
    now = datetime.now(UTC)
    with store.transaction() as transaction:
        state = connector_changes.record_connector_change(transaction, source, trigger, now)
        pending = outbox.claim(
            transaction, NotificationSource(source.connector_id, trigger == "backfill"), store.settings, now
        )
    about = connector_resource(source.name) | {
        f"{PREFIX}tenant": source.tenant,
        f"{PREFIX}trigger": trigger,
        f"{PREFIX}state": state,
        f"{PREFIX}polling-minutes": str(source.polling_minutes),
    }
    stats.messages_waiting = _send(store, [*_run_events(about, stats), *pending])


def send_pending_events(store: Store) -> int:
    """Send the pending notices of changes that no connector's run made; returns how many messages still wait."""
    with store.transaction() as transaction:
        pending = outbox.claim(transaction, NotificationSource(), store.settings, datetime.now(UTC))
    return _send(store, pending)


def send_pending_of_home() -> None:
    """`send_pending_events` for the site's own store, if there is one. An error is a warning: the run goes on."""
    try:
        store = open_store(load_settings())
        if store.exists():
            send_pending_events(store)
    except AlertsError as error:
        log.warning("The pending messages could not be sent: %s", error)


def _send(store: Store, events: Sequence[OutboundEvent]) -> int:
    """Send events and the messages that are due; returns how many messages still wait."""
    if events and _post(events):
        with store.transaction() as transaction:
            outbox.mark_sent(transaction, events, datetime.now(UTC))
    waiting = message_run.send_waiting(store)
    if waiting:
        log.warning("%s", message_run.waiting_sentence(waiting))
    return waiting


def _run_events(about: dict[str, str], stats: RunStats) -> list[OutboundEvent]:
    counts: dict[str, Any] = stats.as_counts()
    unseen = [plain(value) for value in counts.pop("unseen")[:MAX_UNSEEN]]
    del counts["leftover"], counts["errors"]  # they are on the run's page
    del counts["messages_waiting"]  # counted after the events are sent
    events = [OutboundEvent(uuid4(), f"{PREFIX}run.done", about, counts)]
    if unseen:
        events.append(OutboundEvent(uuid4(), f"{PREFIX}word.unseen", about, {"words": unseen}))
    return events


def _post(outbound: Sequence[OutboundEvent]) -> bool:
    """Post events; returns whether the Prefect API accepted them. A failure is a warning, so that the run succeeds."""
    run_id = flow_run.get_id()
    flow_run_resource = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}
    related = [RelatedResource(flow_run_resource)] if run_id else []
    events = [
        Event(event=name, resource=Resource(resource), related=related, payload=payload, id=event_id)
        for event_id, name, resource, payload in outbound
    ]
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
    except httpx.HTTPError as error:
        log.warning(
            "The Prefect server did not accept %d events (%s). The next run sends them again.",
            len(events),
            type(error).__name__,
        )
        return False
    return True
