"""SQL in, frames in and out."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

import duckdb
import polars as pl

from tasks.store.signals import run_interruptibly

T = TypeVar("T")
C = TypeVar("C", bound="Connection")

# A progress bar would be drawn into our output; a misspelt table name must not find a Python variable.
SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET python_enable_replacements = false"


class ArrowStream:
    """A frame that DuckDB reads as an Arrow stream; it would need pyarrow to read a polars frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame: pl.DataFrame | None = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        if self._frame is None:
            raise ValueError("This frame is no longer available. Pass it to each statement that reads it.")
        return self._frame.__arrow_c_stream__(requested_schema)

    def release(self) -> None:
        """Free the frame's memory: DuckDB keeps the object of a dropped view until the transaction ends."""
        self._frame = None


class Connection:
    """Runs SQL. Each frame passed by keyword is a table of that name during the call.

    UUIDs are returned as text: cast them in the query.
    """

    # Prefect's threads still refer to a run and its traceback when the process ends, and DuckDB reports each of its
    # objects that remains then as a leak. So only this attribute refers to one, and no annotation to DuckDB's types.
    def __init__(self, inner: "duckdb.DuckDBPyConnection") -> None:
        self._inner = inner
        self.run(SETTINGS)

    @classmethod
    def start_instance(cls) -> Self:
        """A connection to a new database instance in memory."""
        return cls(duckdb.connect())

    def cursor(self, kind: type[C]) -> C:
        """A separate connection to the same instance."""
        return kind(self._inner.cursor())

    def close(self) -> None:
        """Close the connection; an instance with all its connections."""
        self._inner.close()
        del self._inner

    def interrupt(self) -> None:
        """End the running query."""
        self._inner.interrupt()

    def run(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> None:
        """Execute one or more statements."""
        self.rows(sql, parameters, **frames)

    def rows(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> list[tuple[Any, ...]]:
        """Result of the last statement as tuples: for a few values."""
        return self._call(lambda: self._inner.execute(sql, parameters).fetchall(), frames)

    def rows_if_exists(self, sql: str) -> list[tuple[Any, ...]]:
        """The same, or an empty list if the table does not exist."""
        try:
            return self.rows(sql)
        except duckdb.CatalogException:
            return []

    def frame(self, sql: str, parameters: dict[str, Any] | None = None, **frames: pl.DataFrame) -> pl.DataFrame:
        """Result of one statement."""
        return self._call(lambda: pl.DataFrame(self._inner.sql(sql, params=parameters)), frames)

    def revision(self) -> int:
        """Number of the last change that analysts see; 0 before the first."""
        return int(self.rows("SELECT revision FROM internal.store_state")[0][0])

    def script(self, statements: Iterable[str], parameters: dict[str, Any], **frames: pl.DataFrame) -> None:
        """Execute statements in order, each with those of the parameters that it names."""

        def execute_all() -> None:
            for sql in statements:
                named = {name: value for name, value in parameters.items() if f"${name}" in sql}
                self._inner.execute(sql, named).fetchall()

        self._call(execute_all, frames)

    def _call(self, query: Callable[[], T], frames: Mapping[str, pl.DataFrame]) -> T:
        streams = {name: ArrowStream(frame) for name, frame in frames.items()}

        def with_frames() -> T:
            for name, stream in streams.items():
                self._inner.register(name, stream)
            try:
                result = query()
            except duckdb.Error as error:
                raise error.with_traceback(None) from None  # polars' frames refer to DuckDB's result
            for name in streams:  # not after an error: the transaction is over then, and its views with it
                self._inner.unregister(name)
            return result

        try:
            return run_interruptibly(self, with_frames)
        finally:
            for stream in streams.values():
                stream.release()


class Transaction(Connection):
    """A connection inside the writer's one transaction."""

    changed = False
    """Set when something that analysts see has changed: the store's revision then rises."""
    publish = False
    """Set when the published copy is to be replaced right after the commit."""
    has_snapshots = False
    """Set while temporary tables hold the former state of what it changes (`tasks.notifications.changes`)."""
