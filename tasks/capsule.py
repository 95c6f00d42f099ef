"""Frames on their way into the database."""

import polars as pl

from tasks.interrupts import Called


class Capsule:
    """Hands a frame to DuckDB as an Arrow stream; its own way to take polars frames needs pyarrow."""

    def __init__(self, frame: pl.DataFrame, called: Called) -> None:
        self._frame, self._called = frame, called

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        with self._called:
            return self._frame.__arrow_c_stream__(requested_schema)

    def empty(self) -> None:
        """Give up the frame: the transaction keeps the capsule to its end."""
        self._frame = pl.DataFrame()
