"""Saved connectors as documents of the Prefect API in use."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from pydantic import ValidationError

from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import all_pages, asked_where
from tasks.errors import ConnectorRefused
from tasks.field_errors import error_messages
from tasks.sanitize import plain

SYNC: dict[str, Any] = {"_sync": True}  # also where an event loop is running; unknown to the type hints


class Document(NamedTuple):
    """A saved form, as Prefect's API tells it."""

    cls: type[Connector]
    fields: dict[str, Any]


def nothing_saved_as(name: str) -> str:
    """Where a name was looked for, and what to do."""
    return (
        f"No connector is saved as '{plain(name)}' in {asked_where()}. `attachment-alerts connectors list` "
        "shows the names there; if it should be elsewhere, set PREFECT_API_URL."
    )


def read_document(name: str, document: Document) -> Connector:
    """The connector of a saved form. Raises ConnectorRefused, without its values."""
    block = BlockDocument.model_validate(document.fields)
    try:
        return document.cls._from_block_document(block)
    except ValidationError as unusable:
        raise ConnectorRefused(
            f"The connector {name!r} cannot be used: {error_messages(unusable, document.cls.titles())}. "
            "Correct it in the Prefect UI (Blocks, its page, Edit), or with `attachment-alerts connectors set "
            f"{name}`, its keys with `connectors rotate {name}`."
        ) from None  # the cause would hold the keys


def documents(
    client: SyncPrefectClient,
    classes: Iterable[type[Connector]],
    name: str | None = None,
    *,
    include_secrets: bool = False,
) -> dict[str, Document]:
    """What is saved under that name, or all that is saved, by name: one question for all products and connectors."""
    kinds = {str(cls.get_block_type_slug()): cls for cls in classes}
    asked: dict[str, Any] = {"block_types": {"slug": {"any_": list(kinds)}}, "include_secrets": include_secrets}
    if name is not None:
        asked["block_documents"] = {"is_anonymous": {"eq_": False}, "name": {"any_": [name]}}

    def ask(limit: int, offset: int) -> list[dict[str, Any]]:
        asked_for = asked | {"limit": limit, "offset": offset}
        return list(client.request("POST", "/block_documents/filter", json=asked_for).json())

    return {each["name"]: Document(kinds[each["block_type"]["slug"]], each) for each in all_pages(ask)}
