"""A pool of DuckDB instances: starting one takes 30 ms of processor time, more than most transactions.

An instance has one user at a time, who never meets another user's settings, files or interruption.
"""

import atexit
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from tasks.store.connection import Connection
from tasks.store.migrations import quoted

IDLE = 2  # instances that are not closed after use: a writer's and a reader's

InstanceSettings = Mapping[str, str]


class InstancePool:
    """Instances that are not in use, with the settings they have."""

    def __init__(self) -> None:
        self._idle: list[tuple[InstanceSettings, Connection]] = []
        atexit.register(self.close)

    @contextmanager
    def lend(self, settings: InstanceSettings) -> Iterator[Connection]:
        """An instance with these settings. After an error it is closed with everything it has open."""
        instance = self._take(settings)
        with ExitStack() as stack:
            stack.callback(instance.close)
            yield instance
            stack.pop_all()
        self._idle.append((settings, instance))
        while len(self._idle) > IDLE:
            self._close_oldest()

    def close(self) -> None:
        """Close the instances that are not in use."""
        while self._idle:
            self._close_oldest()

    def _take(self, settings: InstanceSettings) -> Connection:
        try:
            present, instance = self._idle.pop()
        except IndexError:
            present, instance = {}, Connection.start_instance()
        try:
            _change_settings(instance, present, settings)
        except duckdb.NotImplementedException:  # it has used its temp_directory, which then cannot be changed
            instance.close()
            instance = Connection.start_instance()
            _change_settings(instance, {}, settings)
        return instance

    def _close_oldest(self) -> None:
        try:
            _, instance = self._idle.pop(0)
        except IndexError:  # another thread was quicker
            return
        instance.close()


def _change_settings(instance: Connection, present: InstanceSettings, wanted: InstanceSettings) -> None:
    for name in present.keys() - wanted.keys():
        instance.run(f"RESET {name}")
    for name, value in wanted.items():
        if present.get(name) != value:
            instance.run(f"SET {name} = {quoted(value)}")


def attach(connection: Connection, path: Path, options: str) -> None:
    """Open a file."""
    connection.run(f"ATTACH {quoted(str(path))} AS store ({options})")
    connection.run("USE store")


def detach(connection: Connection) -> None:
    """Close the file, which also empties its log."""
    connection.run("USE memory")
    connection.run("DETACH store")
