"""When a run replaces the published copy (design section 5): soon enough for analysts, never all the time."""

from datetime import timedelta
from typing import Literal

from tasks.database import Store

EVERY = timedelta(seconds=30)  # at most, in the middle of a run
AT_LEAST = timedelta(minutes=15)


class Publisher:
    """Decides for one run. `pending`: something was committed that the copy does not show yet."""

    def __init__(self, store: Store, trigger: Literal["poll", "backfill"]) -> None:
        self._store = store
        self._trigger = trigger
        self.pending = False

    def after_slice(self, *, changed: bool, high: bool) -> bool:
        """Whether the transaction that is being committed is published at once."""
        self.pending |= changed
        age = self._store.publication_age()
        due = self.pending and (age is None or age > EVERY) and self._store.may_publish()
        urgent = high and self._trigger == "poll"
        if due or urgent:
            self.pending = False
        return due or urgent

    def at_end(self, *, turned: bool) -> None:
        """Publish what is pending. `turned`: the connector began or ceased to fail."""
        age = self._store.publication_age()
        stale = age is None or (age > AT_LEAST and self._store.may_publish())
        if self.pending or turned or stale:
            self._store.publish()
            self.pending = False
