"""The state of a connector's run, from which its artifacts are written."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from flows.artifacts.run_summary import Outcome
from tasks.ingest.run_stats import RunStats
from tasks.source import Source
from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tasks.window import Interval, Trigger

STOPPED = Outcome("stopped", "Stopped before its end. Complete slices are stored; the next run fetches the rest.")


@dataclass
class RunContext:
    """Filled in during the run; complete enough for the artifacts whenever the run ends."""

    connector: str
    trigger: Trigger
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    store: Store | None = None
    source: Source | None = None
    publisher: Publisher | None = None
    window: tuple[Interval, ...] = ()
    notes: list[str] = field(default_factory=list)
    """which parts of the requested time are not fetched, and why"""
    stats: RunStats = field(default_factory=RunStats)
    outcome: Outcome = STOPPED
