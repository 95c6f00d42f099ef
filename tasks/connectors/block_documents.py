"""The saved connectors as documents of the Prefect API in use: of which products, under which names, and read."""

import importlib
import importlib.util
import pkgutil
from typing import Any, NamedTuple

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from pydantic import ValidationError

import tasks
from tasks.connectors.base import Connector
from tasks.connectors.prefect_client import all_pages, asked_where, in_words, prefect_client
from tasks.errors import ConnectorRefused
from tasks.field_errors import sentences
from tasks.sanitize import plain

SYNC: dict[str, Any] = {"_sync": True}  # also where an event loop is running; unknown to the type hints


class Document(NamedTuple):
    """A saved form, as Prefect's API tells it."""

    cls: type[Connector]
    fields: dict[str, Any]


def products() -> dict[str, type[Connector]]:
    """The connector class of every room in `tasks/` that has a `connector.py`, by product name."""
    found: dict[str, type[Connector]] = {}
    for room in pkgutil.iter_modules(tasks.__path__):
        if room.ispkg and importlib.util.find_spec(f"tasks.{room.name}.connector"):
            module = importlib.import_module(f"tasks.{room.name}.connector")
            for thing in vars(module).values():
                own = isinstance(thing, type) and thing.__module__ == module.__name__
                if own and issubclass(thing, Connector):
                    found[thing.product] = thing
    return found


def nothing_saved_as(name: str) -> str:
    """Where a name was looked for, and what to do."""
    return (
        f"No connector is saved as '{plain(name)}' in {asked_where()}. `attachment-alerts connectors list` "
        "shows the names there; if it should be elsewhere, set PREFECT_API_URL."
    )


def offer_forms() -> None:
    """Make the forms of all products known to the server in use, whose UI offers them then; again, nothing changes."""
    with in_words():
        for cls in products().values():
            cls.register_type_and_schema(**SYNC)


def saved_names() -> dict[str, type[Connector]]:
    """The names of all saved connectors and their kinds, without reading them."""
    with prefect_client() as client:
        return {name: document.cls for name, document in documents(client).items()}


def read_document(name: str, document: Document) -> Connector:
    """The connector of a saved form. Raises ConnectorRefused, without its values."""
    block = BlockDocument.model_validate(document.fields)
    try:
        return document.cls._from_block_document(block)
    except ValidationError as unusable:
        raise ConnectorRefused(
            f"The connector {name!r} cannot be used: {sentences(unusable, document.cls.titles())}. "
            "Correct it in the Prefect UI (Blocks, its page, Edit), or with `attachment-alerts connectors set "
            f"{name}`, its keys with `connectors rotate {name}`."
        ) from None  # the cause would hold the keys


def documents(
    client: SyncPrefectClient, name: str | None = None, *, include_secrets: bool = False
) -> dict[str, Document]:
    """What is saved under that name, or all that is saved, by name: one question for all products and connectors."""
    kinds = {str(cls.get_block_type_slug()): cls for cls in products().values()}
    asked: dict[str, Any] = {"block_types": {"slug": {"any_": list(kinds)}}, "include_secrets": include_secrets}
    if name is not None:
        asked["block_documents"] = {"is_anonymous": {"eq_": False}, "name": {"any_": [name]}}

    def ask(limit: int, offset: int) -> list[dict[str, Any]]:
        asked_for = asked | {"limit": limit, "offset": offset}
        return list(client.request("POST", "/block_documents/filter", json=asked_for).json())

    return {each["name"]: Document(kinds[each["block_type"]["slug"]], each) for each in all_pages(ask)}
