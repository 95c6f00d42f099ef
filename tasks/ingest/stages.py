"""The stages of a pull of any product: what runs for each slice before it is loaded."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tasks.http.paging import Page
from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.ingest.extract import extract
from tasks.ingest.read_records import Record
from tasks.ingest.record_format import RecordFormat
from tasks.ingest.transform import transform
from tasks.ingest.validate import validate
from tasks.priority import Maps
from tasks.settings import Settings
from tasks.source import Source
from tasks.window import Slice


class RecordClient(Protocol):
    """A `ServiceClient` that lists records by time."""

    refusals: int
    clock_correction: timedelta

    def pages(self, start: datetime, end: datetime) -> Iterator[Page[Record]]: ...
    def now(self) -> datetime: ...
    def clock_difference(self) -> timedelta | None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Stages:
    """The stages of one connector. Use it in a `with` statement: it holds the connections to the service."""

    def __init__(
        self, client: RecordClient, record_format: RecordFormat, source: Source, maps: Maps, settings: Settings
    ) -> None:
        self._client, self._record_format = client, record_format
        self._source, self._maps, self._settings = source, maps, settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def abort(self) -> None:
        """Abort all requests in progress."""
        self._client.abort()

    @property
    def refusals(self) -> int:
        """Requests refused so far because of the account's quota."""
        return self._client.refusals

    def clock_difference(self) -> timedelta | None:
        """The service's clock minus ours; None if the service does not report its time."""
        return self._client.clock_difference()

    def correct_clock(self, offset: timedelta) -> None:
        """Follow the service's clock from now on."""
        self._client.clock_correction = offset

    def extract(self, slice_: Slice, scratch: Path) -> Extracted:
        return extract(
            lambda: self._client.pages(slice_.start, slice_.end), self._record_format.reader, scratch / "extracted"
        )

    def validate(self, extracted: Extracted, scratch: Path, open_rejects: frozenset[str]) -> Validated:
        dangerous = self._maps.priorities.filter("dangerous")["verdict"].to_list()
        connector_id = self._source.connector_id
        now = self._client.now()
        return validate(extracted.records, self._record_format, scratch, connector_id, dangerous, open_rejects, now)

    def transform(self, validated: Validated, scratch: Path, slice_: Slice) -> Transformed:
        connector_id = self._source.connector_id
        return transform(
            validated.records, self._record_format, scratch / "scans", slice_, connector_id, self._maps, self._settings
        )
