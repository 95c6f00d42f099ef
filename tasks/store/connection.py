"""A DuckDB connection: SQL in, frames in and out; and the same inside the writer's one transaction."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl

from tasks.store import arrow
from tasks.store.arrow import Answer, Capsule, seeing
from tasks.store.signals import Called, Interrupts


class Connection:
    """SQL in, frames in and out. UUIDs leave as text: cast them in the query."""

    def __init__(self, inner: duckdb.DuckDBPyConnection) -> None:
        self._inner = inner
        self.run("SET TimeZone = 'UTC'; SET enable_progress_bar = false")  # a bar would be drawn into our output

    def run(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> None:
        """Execute one or more statements; each frame is a table of its name while they run."""
        self.rows(sql, parameters, **frames)

    def rows(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> list[tuple[Any, ...]]:
        """The answer as tuples: for a handful of values."""
        with _seen(arrow.rows, frames) as ask:
            answer: list[tuple[Any, ...]] = ask(self._inner, sql, parameters)
            return answer

    def known(self, sql: str) -> list[tuple[Any, ...]]:
        """The same, or nothing where there is no such table."""
        try:
            return self.rows(sql)
        except duckdb.CatalogException:
            return []

    def frame(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> pl.DataFrame:
        """The answer as a frame."""
        with _seen(arrow.stream, frames) as ask:
            return pl.DataFrame(Answer(ask(self._inner, sql, parameters)))

    def script(self, statements: Iterable[str], parameters: dict[str, Any], **frames: pl.DataFrame) -> None:
        """Execute statements one after the other, each with those of the parameters that it names."""
        with _seen(arrow.rows, frames) as ask:
            for sql in statements:
                ask(self._inner, sql, {name: value for name, value in parameters.items() if f"${name}" in sql})


@contextmanager
def _seen(ask: Callable[..., Any], frames: dict[str, pl.DataFrame]) -> Iterator[Callable[..., Any]]:
    with Interrupts() as interrupts:
        yield seeing(ask, {name: Capsule(frame, Called(interrupts)) for name, frame in frames.items()})


class Transaction(Connection):
    """A connection inside the writer's one transaction."""

    changed = False
    """Set when something that analysts see has changed: the store's revision then rises."""
    publish = False
    """Set when the copy is to be replaced right after the commit."""
    remembers = False
    """Set when it keeps in temporary tables what it has changed (`tasks.notifications.changes`)."""
