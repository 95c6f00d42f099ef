"""The registry of products: what each product provides.

`tasks/connectors/README.md` lists all places where a new product is registered.
"""

# ruff: noqa: PLC0415 - imported where used: connector classes load Prefect, which `replay` does without, and listing the
# saved connectors needs neither stages nor checks

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import polars as pl

from tasks.errors import SettingsError
from tasks.http.check import Account, Check
from tasks.ingest.batches import Revalidated
from tasks.priority import Maps
from tasks.settings import Settings
from tasks.source import Source

if TYPE_CHECKING:
    from tasks.connectors.base import Connector
    from tasks.directory.model import Parsed
    from tasks.entra.connector import EntraConnector
    from tasks.ingest.stages import Stages
    from tasks.mimecast.connector import MimecastConnector

OpenStages = Callable[[Any, Source, Settings, threading.Event], "AbstractContextManager[Stages]"]
PullDirectory = Callable[[Any, threading.Event], "list[Parsed]"]
TestConnection = Callable[[Any], tuple[list[Check], Account | None]]


class Revalidate(Protocol):
    """Validates a connector's rejects (REJECT_SCHEMA) with the present rules."""

    def __call__(
        self, rejects: pl.DataFrame, connector_id: UUID, maps: Maps, now: datetime, *, keep_low: bool
    ) -> Revalidated: ...


@dataclass(frozen=True)
class Product:
    """Products that bring scans have stages and revalidation; those that bring people and devices pull a directory."""

    name: str
    load_class: Callable[[], "type[Connector]"]
    test_connection: TestConnection
    stages: OpenStages | None = None
    revalidate: Revalidate | None = None
    pull_directory: PullDirectory | None = None

    @property
    def connector(self) -> "type[Connector]":
        """The class of its connectors."""
        return self.load_class()


def get_product(name: str) -> Product:
    """Raises SettingsError for a product that this version does not know."""
    if name not in PRODUCTS:
        raise SettingsError(
            f"This version does not support the product {name!r}. Use the version that fetched its data."
        )
    return PRODUCTS[name]


def check_connector(connector: "Connector") -> tuple[list[Check], Account | None]:
    """The connection test of the connector's product."""
    return get_product(connector.product).test_connection(connector)


def _entra_class() -> "type[Connector]":
    from tasks.entra.connector import EntraConnector

    return EntraConnector


def _mimecast_class() -> "type[Connector]":
    from tasks.mimecast.connector import MimecastConnector

    return MimecastConnector


def _check_entra(connector: "EntraConnector") -> tuple[list[Check], Account | None]:
    from tasks.entra.check import run_checks

    return run_checks(connector)


def _check_mimecast(connector: "MimecastConnector") -> tuple[list[Check], Account | None]:
    from tasks.mimecast.check import run_checks

    return run_checks(connector)


def _pull_entra(connector: "EntraConnector", stop: threading.Event) -> "list[Parsed]":
    from tasks.entra.pull import pull

    return pull(connector, stop)


def _mimecast_stages(
    connector: "MimecastConnector", source: Source, settings: Settings, stop: threading.Event
) -> "AbstractContextManager[Stages]":
    from tasks.mimecast.stages import open_stages

    return open_stages(connector, source, settings, stop)


def _revalidate_mimecast(
    rejects: pl.DataFrame, connector_id: UUID, maps: Maps, now: datetime, *, keep_low: bool
) -> Revalidated:
    from tasks.ingest.revalidate import revalidate
    from tasks.mimecast.record import RECORDS

    return revalidate(rejects, RECORDS, connector_id, maps, now, keep_low=keep_low)


PRODUCTS = {
    product.name: product
    for product in (
        Product("entra", _entra_class, _check_entra, pull_directory=_pull_entra),
        Product("mimecast", _mimecast_class, _check_mimecast, _mimecast_stages, _revalidate_mimecast),
    )
}
