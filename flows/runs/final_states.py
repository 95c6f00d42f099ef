"""The states in which runs end: a message for people, and as the result the counts, of a failed run as well."""

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.runs.message_run import waiting_sentence
from tasks.errors import AlertsError
from tasks.formatting import format_count
from tasks.ingest.run_stats import NOT_STORED, SENTENCES, RunStats

# Prefect shows the lines of extra loggers from their own level on, and without one only warnings.
logging.getLogger("attachment_alerts").setLevel(logging.INFO)


def interrupted() -> State[Any]:
    """The end of a run that Ctrl-C has stopped; Prefect would call it crashed."""
    return Cancelled(message="Stopped by Ctrl-C.")


class RunFailed(AlertsError):
    """The result of a failed run: raised for whoever asks for it. `counts`: what the run did before it failed."""

    def __init__(self, message: str, counts: dict[str, Any]) -> None:
        super().__init__(message)
        self.counts = counts


def completed(stats: RunStats) -> State[Any]:
    alerts = format_count(stats.alerts, "alert")
    message = f"{stats.received:,} received, {stats.new:,} new, {alerts}, {stats.rejected:,} rejected."
    if stats.expired:
        message += f" {stats.expired:,} {NOT_STORED}."
    if stats.directory_days:
        message += f" The directory is {format_count(stats.directory_days, 'day')} old. Import it again."
    if stats.messages_waiting:
        message += f" {waiting_sentence(stats.messages_waiting)}"
    return Completed(message=message, data=stats.as_counts())


def failed_slices(stats: RunStats) -> State[Any]:
    """A failed state with the sentences of the first errors."""
    message = " ".join(stats.errors[:SENTENCES])
    if len(stats.errors) > SENTENCES:
        message += f" There were {len(stats.errors) - SENTENCES} more errors: see the relation windows."
    if stats.slices:
        message += f" {format_count(stats.slices, 'other slice')} completed."
    return failed(message, stats.as_counts())


def failed(message: str, counts: dict[str, Any]) -> State[Any]:
    """Prefect requires an exception as the result of a failed run."""
    return Failed(message=message, data=RunFailed(message, counts))
