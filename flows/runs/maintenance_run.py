"""Flows that change what is stored when told to: the same beginning and end for all of them."""

from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import dashboard_writer
from flows.runs import events, final_states
from tasks.errors import AlertsError
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store

Counts = dict[str, Any]


def run_maintenance(work: Callable[[Store], Counts], says: Callable[[Counts], str], *, apply: bool) -> State[Any]:
    """Do the work on this site's store; after a change, tell at once what of it is to be told."""
    try:
        store = open_store(load_settings())
        counts = work(store)
        if apply:
            events.send_pending_events(store)
            dashboard_writer.refresh_urgent(store)
    except AlertsError as error:
        return failed(error)
    return Completed(message=says(counts), data=counts)


def failed(error: AlertsError) -> State[Any]:
    """The end of a run that could not do what was asked."""
    return final_states.failed(str(error), {})
