"""Frames on their way into the database, and answers on their way out.

DuckDB looks for a table that it does not know among the variables of the function that asks, so a frame needs no view
of its own: to make one and to take it away again would take longer than most statements.
"""

import builtins
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import polars as pl

from tasks.store.signals import Called


class Capsule:
    """Hands a frame to DuckDB as an Arrow stream; its own way to take polars frames needs pyarrow."""

    def __init__(self, frame: pl.DataFrame, called: Called) -> None:
        self._frame, self._called = frame, called

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        with self._called:
            return self._frame.__arrow_c_stream__(requested_schema)


class Answer:
    """Hands an Arrow stream to polars."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._stream


def seeing(ask: Callable[..., Any], capsules: Mapping[str, Capsule]) -> Callable[..., Any]:
    """The same function, with these as its global variables."""
    return FunctionType(ask.__code__, {"__builtins__": builtins, **capsules})


def rows(connection: Any, sql: str, parameters: dict[str, Any] | None) -> Any:
    """The answer to the last of the statements, as tuples."""
    return connection.execute(sql, parameters).fetchall()


def stream(connection: Any, sql: str, parameters: dict[str, Any] | None) -> Any:
    """The answer to one statement as an Arrow stream. The public `sql` plans each statement twice."""
    return connection._submit(sql, parameters, "stream").arrow_capsule()
