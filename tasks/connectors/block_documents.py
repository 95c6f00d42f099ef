"""Reads connectors from the block documents of the Prefect API in use."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import all_pages, api_location
from tasks.errors import ConnectorRefused
from tasks.field_errors import error_messages
from tasks.sanitize import plain

BLOCK_NAME = re.compile(r"[a-z0-9-]+")


class SavedConnector(NamedTuple):
    """A connector as it is saved in the Prefect API."""

    name: str
    connector: Connector
    is_new: bool
    """whether its form has no connector id, because it was created in the UI; the id of its document is used"""


class Document(NamedTuple):
    """A block document and the connector class of its block type."""

    cls: type[Connector]
    block: BlockDocument


def unknown_connector_message(name: str) -> str:
    return (
        f"No connector is saved as '{plain(name)}' in {api_location()}. Run `attachment-alerts connectors list` to see "
        "the saved names, or set PREFECT_API_URL to use another Prefect API."
    )


def parse_document(document: Document) -> SavedConnector:
    """Raises ConnectorRefused for an invalid form, without its values."""
    name = str(document.block.name)
    try:
        connector = document.cls.model_validate(document.block.data)
    except ValidationError as invalid:
        raise ConnectorRefused(
            f"The connector {name!r} cannot be used: {error_messages(invalid, document.cls.titles())}. "
            "Correct it in the Prefect UI (Blocks, its page, Edit)."
        ) from None  # the cause holds the keys
    is_new = connector.connector_id is None
    connector.connector_id = connector.connector_id or document.block.id
    connector.saved_as = name
    return SavedConnector(name, connector, is_new)


def read_documents(
    client: SyncPrefectClient, classes: Iterable[type[Connector]], *, include_secrets: bool = False
) -> dict[str, Document]:
    """The block documents of all saved connectors, by name."""
    found = {
        str(block.name): Document(cls, block) for cls in classes for block in _blocks(client, cls, include_secrets)
    }
    return dict(sorted(found.items()))


def read_document(
    client: SyncPrefectClient, classes: Iterable[type[Connector]], name: str, *, include_secrets: bool = False
) -> Document | None:
    if not BLOCK_NAME.fullmatch(name):  # Prefect has no such name, and the request's path could not hold it
        return None
    for cls in classes:
        try:
            block = client.read_block_document_by_name(name, _slug(cls), include_secrets=include_secrets)
        except ObjectNotFound:
            continue
        return Document(cls, block)
    return None


def _blocks(client: SyncPrefectClient, cls: type[Connector], include_secrets: bool) -> Iterator[BlockDocument]:
    def read(limit: int, offset: int) -> list[BlockDocument]:
        return client.read_block_documents_by_type(
            _slug(cls), limit=limit, offset=offset, include_secrets=include_secrets
        )

    try:
        yield from all_pages(read)
    except httpx.HTTPStatusError as refused:
        if refused.response.status_code != httpx.codes.NOT_FOUND:  # a new server does not know the block type yet
            raise


def _slug(cls: type[Connector]) -> str:
    return str(cls.get_block_type_slug())
