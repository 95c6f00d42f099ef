"""What a run has done, as plain counts."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tasks.ingest.batches import Transformed, Validated
from tasks.ingest.coverage import Report
from tasks.ingest.load import Loaded

REMEMBERED = 100_000  # groups: what a run may tell about, within 20 MB; more of them are no longer told apart


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
    """ids of the groups that were made or changed, at most about `REMEMBERED` of them"""
    opened: set[str] = field(default_factory=set)
    """… that did not exist before"""
    directory_days: int = 0
    """age of the directory where it is older than a week: people who came since are not known"""
    newest_at: datetime | None = None
    errors: list[str] = field(default_factory=list)

    def add(self, report: Report, validated: Validated, transformed: Transformed, loaded: Loaded) -> None:
        """Count a loaded slice."""
        self.slices += 1
        for name in ("pages", "received", "accepted", "rejected", "new", "changed", "duplicates", "outside"):
            setattr(self, name, getattr(self, name) + getattr(report, name))
        self.low += transformed.low
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
        self.unseen |= set(transformed.unseen)
        self.leftover |= set(validated.leftover)
        self.newest_at = max(filter(None, (self.newest_at, report.newest_at)), default=None)

    def as_counts(self) -> dict[str, Any]:
        """JSON values: the result of a flow run."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        moment = self.newest_at and self.newest_at.isoformat()
        words = {"unseen": sorted(self.unseen), "leftover": sorted(self.leftover), "errors": self.errors}
        return {**counts, "skipped": self.skipped, "newest_at": moment, **words}
