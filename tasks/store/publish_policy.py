"""When a run publishes: soon enough for analysts, but not after every slice."""

from datetime import timedelta
from typing import Literal

from tasks.store.store import PUBLISH_INTERVAL, Store

MAX_AGE = timedelta(minutes=15)


class Publisher:
    """Decides for one run."""

    def __init__(self, store: Store, trigger: Literal["poll", "backfill"]) -> None:
        self._store = store
        self._trigger = trigger
        self._has_changes = False  # this run has changed what analysts see
        self._pending = False  # something was committed that the copy does not show

    def after_slice(self, *, changed: bool, high: bool) -> bool:
        """Whether the transaction that is being committed is published at once."""
        self._has_changes |= changed
        self._pending = True
        age = self._store.publication_age()
        due = self._has_changes and (age is None or age > PUBLISH_INTERVAL) and self._store.may_publish()
        if due or (high and self._trigger == "poll"):
            self._pending = False
        return not self._pending

    @property
    def is_up_to_date(self) -> bool:
        """Whether the copy shows every slice that this run has committed."""
        return not self._pending and self._store.is_published()

    def at_end(self, *, health_changed: bool) -> None:
        """Publish what is pending; the next run publishes what is not published here."""
        age = self._store.publication_age()
        if health_changed or (self._pending and self._trigger == "backfill"):
            due = True
        else:
            stale = age is None or age > MAX_AGE
            due = (stale or (self._pending and self._has_changes)) and self._store.may_publish()
        if due:
            self._store.publish()
            self._pending = False
