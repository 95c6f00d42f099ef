"""Runs of the maintenance flows: the change, its notifications, the final state."""

from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import dashboard_writer
from flows.runs import events, final_states
from flows.runs.message_run import waiting_sentence
from tasks.errors import AlertsError
from tasks.formatting import format_count
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store

Counts = dict[str, Any]


def run_change(work: Callable[[Store], Counts], summary: Callable[[Counts], str]) -> State[Counts]:
    """Do the work on this site's store and, if it applied a change, send its notifications.

    The run's message is the `summary` of the work's counts.
    """
    try:
        store = open_store(load_settings())
        counts, waiting = work(store), 0
        if counts["applied"]:
            waiting = events.send_pending_events(store)
            dashboard_writer.write_urgent_after_change(store)
    except AlertsError as error:
        return failed(error)
    note = f" {waiting_sentence(waiting)}" if waiting else ""
    return Completed(message=summary(counts) + note, data=counts)


def failed(error: AlertsError) -> State[Counts]:
    """The final state of a run that was refused or could not finish."""
    return final_states.failed(str(error), {})


def regroup_summary(counts: Counts) -> str:
    would = "" if counts["applied"] else "would be "
    before, after = format_count(counts["groups_before"], "group"), f"{counts['groups_after']:,}"
    return f"{before} {would}regrouped into {after}; {format_count(counts['alerts_moved'], 'alert')} {would}moved."


def replay_summary(counts: Counts) -> str:
    scans, rejects = format_count(counts["scans_changed"], "scan"), format_count(counts["rejects_accepted"], "reject")
    would = "" if counts["applied"] else "would be "
    return f"{scans} {would}changed; {rejects} {would}accepted."


def retention_summary(counts: Counts) -> str:
    deleted = [f"{count:,} {kind}" for kind, count in counts["removed"].items() if count]
    return f"{'Deleted' if counts['applied'] else 'Would delete'} {', '.join(deleted) or 'nothing'}."
