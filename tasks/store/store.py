"""The store as the rest of the program knows it: no other module knows a file, a path or a lock of it.

Readers get what was last published. There is one writer at a time: each makes one transaction, which is published
afterwards if it asks for that.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from tasks.errors import AlertsError, SettingsError
from tasks.settings import Settings
from tasks.store.connection import Connection, Transaction

PUBLISH_INTERVAL = timedelta(seconds=30)  # a run does not publish more often before its end


class AccountBusy(AlertsError):
    """Another run holds the lock of this account."""


class AccountLock(Protocol):
    """The right to send requests to one account, across all processes that use the store."""

    def acquire(self, patience: float | None) -> None:
        """Wait for the lock, at most `patience` seconds (None: no limit). Raises AccountBusy, Stopped."""

    def is_wanted(self) -> bool:
        """Whether another run waits for the lock."""

    def give_way(self) -> None:
        """Let the run that waits go first, then take the lock back."""

    def release(self) -> None:
        """Release the lock; no effect if it is not held."""


class Store(ABC):
    """The tables of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the store is, for messages."""

    @property
    @abstractmethod
    def published_location(self) -> str:
        """What a DuckDB client connects to."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether something has been stored."""

    @abstractmethod
    def is_published(self) -> bool: ...

    @abstractmethod
    def size(self) -> int:
        """Bytes; 0 if it does not exist."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """One transaction of the only writer: committed when the block ends, rolled back when it raises.

        Raises StoreBusy when another process writes for more than a minute, StoreTooNew when a later version of the
        program wrote the store, StoreError when the database rejects the change.
        """

    @abstractmethod
    def reader(self, *, modest: bool = False) -> AbstractContextManager[Connection]:
        """What is published, read-only; never waits for a run and never makes one wait. `modest`: within a run.

        Raises SettingsError when nothing has been published yet.
        """

    @abstractmethod
    def snapshot(self, *, modest: bool = False) -> AbstractContextManager[Connection]:
        """The same after publishing what is not published yet: for computations without holding the lock."""

    @abstractmethod
    def writer(self) -> AbstractContextManager[None]:
        """Hold the writer's lock. Raises StoreBusy."""

    @abstractmethod
    def account(self, connector_id: UUID, stop: threading.Event) -> AccountLock:
        """The lock of a connector's account, not yet acquired; `stop` ends the wait for it."""

    @abstractmethod
    def published_revision(self) -> int | None:
        """Revision of what is published; None before the first publication."""

    @abstractmethod
    def publication_age(self) -> timedelta | None:
        """Time since the last publication; None before the first."""

    @abstractmethod
    def may_publish(self) -> bool:
        """Whether publishing would take less than 5 % of the time since the last publication."""

    @abstractmethod
    def compact(self) -> bool:
        """Return the space of removed rows to the disk if there is enough of it; returns whether it was returned."""

    @abstractmethod
    def back_up(self, target: Path) -> None:
        """Copy what is stored now into a new file."""

    def publish(self) -> None:
        """Publish what is stored now."""
        with self.transaction() as transaction:
            transaction.publish = True


def require_store(store: Store) -> None:
    """Refuse a home without a store: its name may be mistyped. Raises SettingsError."""
    if not store.exists():
        raise SettingsError(f"{store.location} does not exist. Use another --home, or poll a connector first.")


@contextmanager
def open_existing(store: Store) -> Iterator[Transaction]:
    """A transaction for changes that people make: they need a store that has been filled. Raises SettingsError."""
    require_store(store)
    with store.transaction() as transaction:
        yield transaction
