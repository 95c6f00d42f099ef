"""The saved connectors: listed, loaded, saved, renamed and removed by name, in the Prefect API in use."""

from datetime import UTC, datetime
from uuid import uuid4

from tasks.connectors.base import Connector
from tasks.connectors.block_documents import (
    SavedConnector,
    parse_document,
    read_document,
    read_documents,
    unknown_connector_message,
)
from tasks.connectors.names import check_name
from tasks.connectors.prefect_client import api_errors_translated, api_location, prefect_client
from tasks.errors import ConnectorRefused, UnknownConnector
from tasks.http.check import Account, Check, passed
from tasks.products import PRODUCTS, check_connector

CLASSES = [product.connector for product in PRODUCTS.values()]


def load_connector(name: str) -> Connector:
    """Raises UnknownConnector, and ConnectorRefused where its form is invalid or it duplicates another connector."""
    with prefect_client() as client:
        document = read_document(client, CLASSES, name, include_secrets=True)
    if document is None:
        raise UnknownConnector(unknown_connector_message(name))
    saved = parse_document(document)
    _check_new_duplicate(saved)
    return saved.connector


def load_all() -> tuple[dict[str, Connector], dict[str, str]]:
    """All saved connectors by name, sorted; for each unusable one the reason."""
    found, unusable = _read_all()
    for name, saved in list(found.items()):
        try:
            _check_new_duplicate(saved, found)
        except ConnectorRefused as problem:
            unusable[name] = str(problem)
    usable = {name: saved.connector for name, saved in found.items() if name not in unusable}
    return usable, dict(sorted(unusable.items()))


def save_new_ids() -> None:
    """Save the id of each usable connector that was created in the Prefect UI into its form."""
    found, _ = _read_all()
    for name, saved in found.items():
        if saved.is_new and _find_duplicate(saved.connector, found) is None:
            _save(saved.connector, name, is_update=True)


def save_connector(name: str, connector: Connector) -> None:
    """Save a new connector and give it its immutable id, or update the saved one it was loaded from.

    Raises ConnectorRefused where the name is invalid or taken, or another connector pulls the same account.
    """
    is_update = connector.saved_as == name
    if not is_update:
        check_new_name(name)
    if other := find_duplicate(connector):
        raise ConnectorRefused(
            f"The connector {other!r} already pulls this account, and a second one would count everything twice. "
            f"Change {other!r} with `attachment-alerts connectors set {other}`, or replace its keys with "
            f"`connectors rotate {other}`."
        )
    _save(connector, name, is_update=is_update)


def check_new_name(name: str) -> None:
    """Raises ConnectorRefused for a name that is invalid or taken."""
    check_name(name)
    if name in saved_names():
        raise ConnectorRefused(f"A connector named {name!r} exists already in {api_location()}. Choose another name.")


def find_duplicate(connector: Connector) -> str | None:
    """The name of another saved connector for the same account, judged by account codes and keys."""
    return _find_duplicate(connector, _read_all()[0])


def rename(old: str, new: str) -> None:
    """Rename a connector; its id and data stay the same.

    Raises UnknownConnector, and ConnectorRefused where the new name is invalid or taken.
    """
    connector = load_connector(old)
    check_new_name(new)
    _save(connector, new, is_update=False)
    remove(old)


def remove(name: str) -> None:
    """Delete the connector with its keys; its data stays. Raises UnknownConnector."""
    with prefect_client() as client:
        document = read_document(client, CLASSES, name)
        if document is None:
            raise UnknownConnector(unknown_connector_message(name))
        client.delete_block_document(document.block.id)


def test_connector(name: str) -> tuple[list[Check], Account | None]:
    """Run the connection test of a saved connector; save the time if it passed, and the account."""
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


def register_block_types() -> None:
    """Register the forms of all products with the Prefect API in use, whose UI then offers them."""
    with api_errors_translated():
        for cls in CLASSES:
            cls.register_type_and_schema()


def saved_names() -> dict[str, type[Connector]]:
    """The names of all saved connectors, usable or not, and their classes."""
    with prefect_client() as client:
        return {name: document.cls for name, document in read_documents(client, CLASSES).items()}


def _read_all() -> tuple[dict[str, SavedConnector], dict[str, str]]:
    """All saved connectors with a valid form; for each other one the reason."""
    found, invalid = {}, {}
    with prefect_client() as client:
        documents = read_documents(client, CLASSES, include_secrets=True)
    for name, document in documents.items():
        try:
            found[name] = parse_document(document)
        except ConnectorRefused as problem:
            invalid[name] = str(problem)
    return found, invalid


def _find_duplicate(connector: Connector, among: dict[str, SavedConnector]) -> str | None:
    for name, saved in among.items():
        is_itself = name == connector.saved_as or saved.connector.connector_id == connector.connector_id
        if not is_itself and connector.same_account(saved.connector):
            return name
    return None


def _check_new_duplicate(saved: SavedConnector, among: dict[str, SavedConnector] | None = None) -> None:
    """Raises ConnectorRefused for a connector from the UI, where nothing checks that the account is pulled once."""
    if not saved.is_new:
        return
    if other := _find_duplicate(saved.connector, _read_all()[0] if among is None else among):
        raise ConnectorRefused(
            f"The connector {saved.name!r} is for the same account as {other!r}, and everything would be counted "
            f"twice. Delete one of them, or give {saved.name!r} the keys of another account."
        )


def _save(connector: Connector, name: str, *, is_update: bool) -> None:
    connector.connector_id = connector.connector_id or uuid4()
    with api_errors_translated():
        connector.save(name, overwrite=is_update)
    connector.saved_as = name
