"""Instances of the database program that a process lends itself: making one takes longer than a small transaction.

Each is lent to one user at a time, so that nobody meets another one's settings, files or interruption.
"""

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """What this module needs of an instance."""

    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Closable)
Config = dict[str, Any]


class Instances(Generic[Kept]):
    """Those of one kind; only the one that was used last is kept for its next user."""

    def __init__(self, make: Callable[[Config], Kept]) -> None:
        self._make = make
        self._idle: list[tuple[Config, Kept]] = []
        atexit.register(self.close)

    @contextmanager
    def lent(self, config: Config) -> Iterator[Kept]:
        """An instance with this configuration. After an error it is closed, with all it has open."""
        instance = self._taken(config)
        try:
            yield instance
        except BaseException:
            instance.close()
            raise
        self._idle.append((config, instance))
        while len(self._idle) > 1:
            self._close_oldest()

    def close(self) -> None:
        """Close what nobody uses."""
        while self._idle:
            self._close_oldest()

    def _taken(self, config: Config) -> Kept:
        try:
            known, instance = self._idle.pop()
        except IndexError:
            return self._make(config)
        if known == config:
            return instance
        instance.close()
        return self._make(config)

    def _close_oldest(self) -> None:
        try:
            _, instance = self._idle.pop(0)
        except IndexError:  # another thread was quicker
            return
        instance.close()
