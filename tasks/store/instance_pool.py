"""A pool of DuckDB instances: starting one takes longer than a small transaction.

An instance has one user at a time, who never meets another user's settings, files or interruption.
"""

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from tasks.store.signals import run_interruptibly


class Instance(Protocol):
    """What this module needs of an instance, or of a connection to it."""

    def cursor(self) -> Self: ...
    def execute(self, query: str) -> Any: ...
    def close(self) -> None: ...
    def interrupt(self) -> None: ...


Kept = TypeVar("Kept", bound=Instance)
Config = dict[str, Any]


class Instances(Generic[Kept]):
    """Instances of one kind; only the last one used is kept."""

    def __init__(self, make: Callable[[Config], Kept]) -> None:
        self._make = make
        self._idle: list[tuple[Config, Kept]] = []
        atexit.register(self.close)

    @contextmanager
    def lent(self, config: Config) -> Iterator[Kept]:
        """An instance with this configuration. After an error it is closed with everything it has open."""
        instance = self._taken(config)
        with ExitStack() as stack:
            stack.callback(instance.close)
            yield instance
            stack.pop_all()
        self._idle.append((config, instance))
        while len(self._idle) > 1:
            self._close_oldest()

    def close(self) -> None:
        """Close the instances that are not in use."""
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


def attached(instance: Kept, path: Path, options: str) -> Kept:
    """A separate connection to a file; temporary tables end with it."""
    connection = instance.cursor()
    quoted = str(path).replace("'", "''")  # a file name cannot be bound
    _run(connection, f"ATTACH '{quoted}' AS store ({options})")
    _run(connection, "USE store")
    return connection


def detach(connection: Instance) -> None:
    """Close the file, which also empties its log."""
    _run(connection, "USE memory")
    _run(connection, "DETACH store")
    connection.close()


def _run(connection: Instance, sql: str) -> None:
    run_interruptibly(connection, lambda: connection.execute(sql).fetchall())
