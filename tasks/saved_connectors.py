"""The saved connectors: found, saved, renamed and removed by name, in whichever Prefect API is in use."""

import logging
from datetime import UTC, datetime
from uuid import uuid4

from tasks.connectors.base import Connector
from tasks.connectors.block_documents import SYNC, documents, read_document, unknown_connector_message
from tasks.connectors.draft import as_saved
from tasks.connectors.names import refuse_name
from tasks.connectors.prefect_client import api_errors_translated, api_location, prefect_client
from tasks.errors import ConnectorRefused, UnknownConnector
from tasks.http.check import Account, Check, passed
from tasks.products import PRODUCTS, check_connector

log = logging.getLogger("attachment_alerts.connectors")

CLASSES = [product.connector for product in PRODUCTS.values()]


def load_connector(name: str) -> Connector:
    """The connector saved under that name; raises UnknownConnector, ConnectorRefused where its form is wrong.

    One that was made in the Prefect UI gets its immutable id now.
    """
    with prefect_client() as client:
        if document := documents(client, CLASSES, name, include_secrets=True).get(name):
            return _adopted(name, read_document(name, document))
    raise UnknownConnector(unknown_connector_message(name))


def list_connectors() -> dict[str, Connector]:
    """All saved connectors by name, sorted; one that cannot be used is left out, with a warning."""
    found, unusable = load_all()
    for wrong in unusable.values():
        log.warning("%s", wrong)
    return found


def load_all() -> tuple[dict[str, Connector], dict[str, str]]:
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


def save_connector(name: str, connector: Connector) -> None:
    """Save it, or save it again if it was loaded from that name, and give it its immutable id.

    Raises ConnectorRefused where the name is none or taken, or the account is already pulled by another connector.
    """
    again = connector._block_document_name == name
    if not again:
        refuse_new_name(name)
    if other := find_duplicate(connector):
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
        raise ConnectorRefused(f"A connector named {name!r} exists already in {api_location()}. Choose another name.")


def find_duplicate(connector: Connector) -> str | None:
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
        raise UnknownConnector(unknown_connector_message(name))
    _delete(cls, name)


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


def _readable() -> tuple[dict[str, Connector], dict[str, str]]:
    """What is saved, by name, without giving an id to anything, and what is wrong with what cannot be read."""
    found, unreadable = {}, {}
    with prefect_client() as client:
        saved = documents(client, CLASSES, include_secrets=True)
    for name, document in sorted(saved.items()):
        try:
            found[name] = read_document(name, document)
        except ConnectorRefused as wrong:
            unreadable[name] = str(wrong)
    return found, unreadable


def _adopted(name: str, connector: Connector) -> Connector:
    """A connector that was made in the Prefect UI gets its id, unless it is a second one for an account."""
    if connector.connector_id is None:
        if other := find_duplicate(connector):
            raise ConnectorRefused(
                f"The connector {name!r} is for the account that {other!r} pulls already; both would count everything "
                f"twice. Delete one of them, or give {name!r} the keys of another account."
            )
        _save(connector, name, again=True)
    return connector


def _save(connector: Connector, name: str, again: bool) -> None:
    if connector.connector_id is None:
        # The document's own id if there is one, so that two runs that meet a new connector at once give it the same.
        connector.connector_id = connector._block_document_id or uuid4()
    with api_errors_translated():
        connector.save(name, overwrite=again, **SYNC)


def _delete(cls: type[Connector], name: str) -> None:
    with api_errors_translated():
        cls.delete(name, **SYNC)


def register_block_types() -> None:
    """Make the forms of all products known to the server in use, whose UI offers them then; again, nothing changes."""
    with api_errors_translated():
        for cls in CLASSES:
            cls.register_type_and_schema(**SYNC)


def saved_names() -> dict[str, type[Connector]]:
    """The names of all saved connectors and their kinds, without reading them."""
    with prefect_client() as client:
        return {name: document.cls for name, document in documents(client, CLASSES).items()}
