"""The stages of this product, bound to one connector: what a pull runs for each slice."""

import threading
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.ingest.batches import Extracted, Transformed, Validated
from tasks.mimecast.client import MimecastClient
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.extract import extract
from tasks.mimecast.transform import transform
from tasks.mimecast.validate import validate
from tasks.priority import load_maps
from tasks.settings import Settings
from tasks.source import Source
from tasks.window import Slice


class Stages:
    """Use it in a `with`: it holds the connections to the service."""

    def __init__(self, connector: MimecastConnector, source: Source, settings: Settings, stop: threading.Event) -> None:
        self._source, self._settings = source, settings
        self._maps = load_maps(settings, connector.no_verdict)
        self._client = MimecastClient(connector, stop=stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def cut(self) -> None:
        """End every request that is under way."""
        self._client.cut()

    @property
    def refusals(self) -> int:
        """Requests refused for the account's quota so far."""
        return self._client.refusals

    def clock_offset(self) -> timedelta:
        """The service's clock minus ours."""
        return self._client.clock_offset()

    def correct_clock(self, offset: timedelta) -> None:
        """From now on, tell the time by the service's clock."""
        self._client.clock_correction = offset

    def extract(self, piece: Slice, scratch: Path) -> Extracted:
        return extract(self._client, piece, scratch / "extracted")

    def validate(self, extracted: Extracted, scratch: Path, open_rejects: frozenset[str]) -> Validated:
        dangerous = self._maps.priorities.filter("dangerous")["verdict"].to_list()
        return validate(
            extracted.records, scratch, self._source.connector_id, dangerous, open_rejects, self._client.now()
        )

    def transform(self, validated: Validated, scratch: Path, piece: Slice) -> Transformed:
        return transform(
            validated.records,
            scratch / "scans",
            piece,
            self._source.connector_id,
            self._maps,
            self._settings,
        )
