"""The saved connectors: found, saved, renamed and removed by name, in whichever Prefect API is in use."""

import importlib
import importlib.util
import logging
import pkgutil
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from pydantic import ValidationError

import tasks
from tasks.as_saved import as_saved
from tasks.connector import Account, Check, Connector, made
from tasks.connector_names import refuse_name
from tasks.errors import ConnectorRefused, UnknownConnector
from tasks.prefect_in_use import all_pages, asked_where, in_words, prefect_client
from tasks.untrusted import plain
from tasks.wrong_values import sentences

__all__ = [
    "Account",
    "Check",
    "Connector",
    "asked_where",
    "check_connector",
    "find_same_account",
    "list_connectors",
    "load_connector",
    "load_to_correct",
    "made",
    "nothing_saved_as",
    "offer_forms",
    "passed",
    "prefect_client",
    "products",
    "refuse_new_name",
    "remove",
    "rename",
    "rotated",
    "save_connector",
    "saved_names",
    "sorted_out",
    "test_connector",
]

log = logging.getLogger("attachment_alerts.connectors")

_SYNC: dict[str, Any] = {"_sync": True}  # also where an event loop is running; unknown to the type hints


class _Document(NamedTuple):
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


def load_connector(name: str) -> Connector:
    """The connector saved under that name; raises UnknownConnector, ConnectorRefused where its form is wrong.

    One that was made in the Prefect UI gets its immutable id now.
    """
    with prefect_client() as client:
        if document := _documents(client, name, include_secrets=True).get(name):
            return _adopted(name, _read(name, document))
    raise UnknownConnector(nothing_saved_as(name))


def nothing_saved_as(name: str) -> str:
    """Where a name was looked for, and what to do."""
    return (
        f"No connector is saved as '{plain(name)}' in {asked_where()}. `attachment-alerts connectors list` "
        "shows the names there; if it should be elsewhere, set PREFECT_API_URL."
    )


def list_connectors() -> dict[str, Connector]:
    """All saved connectors by name, sorted; one that cannot be used is left out, with a warning."""
    found, unusable = sorted_out()
    for wrong in unusable.values():
        log.warning("%s", wrong)
    return found


def sorted_out() -> tuple[dict[str, Connector], dict[str, str]]:
    """All saved connectors by name, sorted, and of those that cannot be used the sentence that says why."""
    found, unusable = _readable()
    for name, connector in list(found.items()):
        try:
            found[name] = _adopted(name, connector)
        except ConnectorRefused as wrong:
            del found[name]
            unusable[name] = str(wrong)
    return found, dict(sorted(unusable.items()))


def load_to_correct(name: str) -> tuple[Connector, str | None]:
    """The connector saved under that name; where it cannot be used, as it was filled in and what is wrong with it.

    Raises UnknownConnector.
    """
    try:
        return load_connector(name), None
    except ConnectorRefused as wrong:
        kind = saved_names()[name]
        with prefect_client() as client:
            document = client.read_block_document_by_name(name, str(kind.get_block_type_slug()), include_secrets=True)
        return as_saved(kind, document), str(wrong)


def offer_forms() -> None:
    """Make the forms of all products known to the server in use, whose UI offers them then; again, nothing changes."""
    with in_words():
        for cls in products().values():
            cls.register_type_and_schema(**_SYNC)


def saved_names() -> dict[str, type[Connector]]:
    """The names of all saved connectors and their kinds, without reading them."""
    with prefect_client() as client:
        return {name: document.cls for name, document in _documents(client).items()}


def save_connector(name: str, connector: Connector) -> None:
    """Save it, or save it again if it was loaded from that name, and give it its immutable id.

    Raises ConnectorRefused where the name is none or taken, or the account is already pulled by another connector.
    """
    again = connector._block_document_name == name
    if not again:
        refuse_new_name(name)
    if other := find_same_account(connector):
        raise ConnectorRefused(
            f"This account is already pulled by the connector {other!r}; a second one would count "
            "everything twice. "
            f"Change {other!r} with `attachment-alerts connectors set {other}`, or give it new keys with "
            f"`connectors rotate {other}`."
        )
    _save(connector, name, again)


def refuse_new_name(name: str) -> None:
    """Raises ConnectorRefused where a connector cannot be saved under that name, or another one is."""
    refuse_name(name)
    if name in saved_names():
        raise ConnectorRefused(f"A connector named {name!r} exists already in {asked_where()}. Choose another name.")


def find_same_account(connector: Connector) -> str | None:
    """The name of another saved connector for the same account, as far as account codes and keys tell."""
    for name, other in _readable()[0].items():
        itself = name == connector._block_document_name or (
            connector.connector_id is not None and other.connector_id == connector.connector_id
        )
        if not itself and connector.same_account(other):
            return name
    return None


def rename(old: str, new: str) -> None:
    """The same connector under a new name; its id and so its data stay.

    Raises UnknownConnector, and ConnectorRefused where the new name is bad or taken.
    """
    connector = load_connector(old)
    refuse_new_name(new)
    _save(connector, new, again=False)
    _delete(type(connector), old)


def remove(name: str) -> None:
    """Forget the connector and its keys; what was fetched by it stays. Raises UnknownConnector."""
    cls = saved_names().get(name)
    if cls is None:
        raise UnknownConnector(nothing_saved_as(name))
    _delete(cls, name)


def rotated(connector: Connector, **new_credentials: Any) -> Connector:
    """A copy with the new credentials and no others, not yet saved. Raises ConnectorRefused."""
    return connector.rotated(**new_credentials)


def check_connector(connector: Connector) -> tuple[list[Check], Account | None]:
    """The connection test of the connector's product; see `run_checks` in the product's room."""
    module = importlib.import_module(f"tasks.{connector.product}.check")
    checks: list[Check]
    checks, account = module.run_checks(connector)
    return checks, account


def test_connector(name: str) -> tuple[list[Check], Account | None]:
    """The connection test of a saved connector; one that passes is remembered, and which account it is."""
    connector = load_connector(name)
    checks, account = check_connector(connector)
    before = connector.tested_at, connector.account_code
    if passed(checks):
        connector.tested_at = datetime.now(UTC).replace(microsecond=0)
    if connector.account_code is None and account:
        connector.account_code = account.code
    if before != (connector.tested_at, connector.account_code):
        save_connector(name, connector)
    return checks, account


def passed(checks: list[Check]) -> bool:
    """Whether a poll would work."""
    return bool(checks) and all(check.state in ("ok", "warning") for check in checks)


def _readable() -> tuple[dict[str, Connector], dict[str, str]]:
    """What is saved, by name, without giving an id to anything, and what is wrong with what cannot be read."""
    found, unreadable = {}, {}
    with prefect_client() as client:
        documents = _documents(client, include_secrets=True)
    for name, document in sorted(documents.items()):
        try:
            found[name] = _read(name, document)
        except ConnectorRefused as wrong:
            unreadable[name] = str(wrong)
    return found, unreadable


def _adopted(name: str, connector: Connector) -> Connector:
    """A connector that was made in the Prefect UI gets its id, unless it is a second one for an account."""
    if connector.connector_id is None:
        if other := find_same_account(connector):
            raise ConnectorRefused(
                f"The connector {name!r} is for the account that {other!r} pulls already; both would count everything "
                f"twice. Delete one of them, or give {name!r} the keys of another account."
            )
        _save(connector, name, again=True)
    return connector


def _read(name: str, document: _Document) -> Connector:
    block = BlockDocument.model_validate(document.fields)
    try:
        return document.cls._from_block_document(block)
    except ValidationError as unusable:
        raise ConnectorRefused(
            f"The connector {name!r} cannot be used: {sentences(unusable)}. "
            "Correct it in the Prefect UI (Blocks, its page, Edit), or with `attachment-alerts connectors set "
            f"{name}`, its keys with `connectors rotate {name}`."
        ) from None  # the cause would hold the keys


def _save(connector: Connector, name: str, again: bool) -> None:
    if connector.connector_id is None:
        # The document's own id if there is one, so that two runs that meet a new connector at once give it the same.
        connector.connector_id = connector._block_document_id or uuid4()
    with in_words():
        connector.save(name, overwrite=again, **_SYNC)


def _delete(cls: type[Connector], name: str) -> None:
    with in_words():
        cls.delete(name, **_SYNC)


def _documents(
    client: SyncPrefectClient, name: str | None = None, *, include_secrets: bool = False
) -> dict[str, _Document]:
    """What is saved under that name, or all that is saved, by name: one question for all products and connectors."""
    kinds = {str(cls.get_block_type_slug()): cls for cls in products().values()}
    asked: dict[str, Any] = {"block_types": {"slug": {"any_": list(kinds)}}, "include_secrets": include_secrets}
    if name is not None:
        asked["block_documents"] = {"is_anonymous": {"eq_": False}, "name": {"any_": [name]}}

    def read(limit: int, offset: int) -> list[dict[str, Any]]:
        asked_for = asked | {"limit": limit, "offset": offset}
        return list(client.request("POST", "/block_documents/filter", json=asked_for).json())

    return {each["name"]: _Document(kinds[each["block_type"]["slug"]], each) for each in all_pages(read)}
