"""Counters of a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tasks.ingest.coverage import Report
from tasks.ingest.load import Loaded

REMEMBERED = 100_000  # ids of groups that a run keeps, within 20 MB; of more it only knows that there were more
SENTENCES = 3  # errors in the state of a run; the relation `windows` has them all

OLD_DIRECTORY = 7 * 24
"""hours; as in the view `internal.directory_age`"""


@dataclass
class RunStats:
    """Totals of a run. received = accepted + rejected; accepted = new + changed + duplicates."""

    slices: int = 0
    failed: int = 0
    failed_rechecks: int = 0
    skipped: str | None = None
    """why the run did nothing, if it did nothing"""
    pages: int = 0
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    outside: int = 0
    low: int = 0
    """accepted records that raise no alert"""
    alerts: int = 0
    """alerts that are new or became more urgent"""
    high: int = 0
    suppressed: int = 0
    """alerts among these that the allow-list hides"""
    exposures: int = 0
    """scans without alert whose file turned out to be dangerous elsewhere"""
    shown_again: int = 0
    """alerts that expired entries of the allow-list no longer hide"""
    late: int = 0
    """new records that only the daily re-check found"""
    late_by: timedelta = timedelta()
    """longest time from detection to that reading"""
    refusals: int = 0
    """requests the service refused for its quota"""
    unseen: set[str] = field(default_factory=set)
    leftover: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    """why records were rejected"""
    groups: set[str] = field(default_factory=set)
    """ids of created and changed groups, at most about `REMEMBERED` of them"""
    opened: set[str] = field(default_factory=set)
    """… those created"""
    directory_days: int = 0
    """age of the directory if it is older than a week, else 0: people added since then are missing"""
    newest_at: datetime | None = None
    errors: list[str] = field(default_factory=list)

    def add(self, report: Report, loaded: Loaded, *, low: int, unseen: Iterable[str], leftover: Iterable[str]) -> None:
        """Count a loaded slice. `unseen`: unknown words; `leftover`: names of unknown fields."""
        self.slices += 1
        for name in ("pages", "received", "accepted", "rejected", "new", "changed", "duplicates", "outside"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        self.low += low
        self.alerts += loaded.alerts
        self.high += loaded.high
        self.suppressed += loaded.suppressed
        self.exposures += loaded.exposures
        if report.trigger == "recheck":
            self.late += loaded.new
            self.late_by = max(self.late_by, loaded.late_by)
        self.reasons.update(dict(loaded.reasons))
        if len(self.groups) < REMEMBERED:
            self.groups |= loaded.affected.group_ids
            self.opened |= loaded.affected.opened
        self.unseen |= set(unseen)
        self.leftover |= set(leftover)
        self.newest_at = max(filter(None, (self.newest_at, report.newest_at)), default=None)

    def as_counts(self) -> dict[str, Any]:
        """JSON values: the result of a flow run."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        moment = self.newest_at and self.newest_at.isoformat()
        words = {"unseen": sorted(self.unseen), "leftover": sorted(self.leftover), "errors": self.errors}
        return {**counts, "skipped": self.skipped, "newest_at": moment, **words}
