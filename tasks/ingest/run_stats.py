"""Counters of a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tasks.ingest.coverage import Report
from tasks.ingest.load import Loaded

MAX_GROUP_IDS = 100_000  # groups whose ids a run holds in memory (20 MB)
SENTENCES = 3  # errors in the state of a run; the relation `windows` has them all

OF_REPORT = ("pages", "received", "accepted", "rejected", "new", "changed", "duplicates", "expired", "outside")
OF_LOADED = ("alerts", "high", "suppressed", "exposures")
"""Counts that are summed over the slices."""

NOT_STORED = "older than what is kept, not stored"
"""of the expired records"""

OLD_DIRECTORY = 7 * 24
"""hours; as in the view `internal.directory_age`"""


@dataclass
class RunStats:
    """Totals of a run; counts as in `Report` and `Loaded`.

    received = accepted + rejected; accepted = new + changed + duplicates + expired.
    """

    slices: int = 0
    failed: int = 0
    failed_rechecks: int = 0
    skipped: str | None = None
    """why the run did nothing, if so"""
    pages: int = 0
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    expired: int = 0
    """records older than what is kept, so not stored"""
    outside: int = 0
    low: int = 0
    """accepted records that raise no alert"""
    alerts: int = 0
    """new alerts, and alerts whose priority rose"""
    high: int = 0
    suppressed: int = 0
    exposures: int = 0
    shown_again: int = 0
    """alerts that expired entries of the allow-list no longer hide"""
    late: int = 0
    """new records that only the daily re-check found"""
    late_by: timedelta = timedelta()
    """longest time from their detection to the re-check"""
    refusals: int = 0
    """requests that the service refused because of the quota"""
    unseen: set[str] = field(default_factory=set)
    leftover: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    """why records were rejected"""
    groups: set[str] = field(default_factory=set)
    """ids of created and changed groups, at most about `MAX_GROUP_IDS` of them"""
    opened: set[str] = field(default_factory=set)
    """… those created"""
    directory_days: int = 0
    """age of the directory if it is older than a week, else 0: people added since then are missing"""
    messages_waiting: int = 0
    """messages that could not be sent yet"""
    newest_at: datetime | None = None
    errors: list[str] = field(default_factory=list)

    def add(self, report: Report, loaded: Loaded, *, low: int, unseen: Iterable[str], leftover: Iterable[str]) -> None:
        """Count a loaded slice. `unseen`: unknown values; `leftover`: names of unknown fields."""
        self.slices += 1
        self.low += low
        for counts, names in ((report, OF_REPORT), (loaded, OF_LOADED)):
            for name in names:
                setattr(self, name, getattr(self, name) + getattr(counts, name))
        if report.trigger == "recheck":
            self.late += loaded.new
            self.late_by = max(self.late_by, loaded.late_by)
        self.reasons.update(dict(loaded.reasons))
        if len(self.groups) < MAX_GROUP_IDS:
            self.groups |= loaded.affected.group_ids
            self.opened |= loaded.affected.opened
        self.unseen |= set(unseen)
        self.leftover |= set(leftover)
        self.newest_at = max(filter(None, (self.newest_at, report.newest_at)), default=None)

    def as_counts(self) -> dict[str, Any]:
        """The result of a flow run, as JSON values."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        moment = self.newest_at and self.newest_at.isoformat()
        lists = {"unseen": sorted(self.unseen), "leftover": sorted(self.leftover), "errors": self.errors}
        return {**counts, "skipped": self.skipped, "newest_at": moment, **lists}
