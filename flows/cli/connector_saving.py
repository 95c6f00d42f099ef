"""What `connectors add`, `set` and `rotate` do: a connector is saved with what was typed, once its test has passed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flows.cli.connector_actions import follow
from flows.cli.connector_options import (
    Fields,
    address_fields,
    all_fields,
    asked,
    changed_fields,
    credentials,
    key_fields,
    typed_values,
)
from flows.cli.views.connectors import checks_table
from flows.console.invocation import command_as_typed
from flows.console.options import Home, Name
from flows.console.terminal import out, say, working
from flows.server.prefect_session import asking, warn_of_open_api
from tasks import saved_connectors
from tasks.connectors.base import Connector, made, refuse_wrong
from tasks.connectors.draft import wrong_fields
from tasks.connectors.polled import PolledConnector
from tasks.errors import ConnectorRefused
from tasks.http.check import Account, passed
from tasks.ingest import registry
from tasks.ingest.connector_source import refuse_other_tenant, source_of
from tasks.products import PRODUCTS, check_connector
from tasks.settings import load_settings
from tasks.store.factory import open_store

NoTest = Annotated[bool, typer.Option("--no-test", help="Save without testing the connection first.")]
Product = Annotated[str, typer.Option(help="Product of the account. Default: the one that is polled for scans.")]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name to save it under: lower-case letters, digits, single dashes.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Also where it cannot be seen that the keys belong to the same account.")
]


def add(
    name: NewName, product: Product = "", no_test: NoTest = False, home: Home = None, *, fields: dict[str, Any]
) -> None:
    """Save a new connector."""
    kinds = {name: each.connector for name, each in PRODUCTS.items()}
    kind = kinds.get(product or next(each for each in kinds if issubclass(kinds[each], PolledConnector)))
    if kind is None:
        raise ConnectorRefused(f"There is no product called {product!r}. Known: {', '.join(kinds)}.")
    warn_of_open_api()
    with asking():
        saved_connectors.refuse_new_name(name)
    values = typed_values(kind, fields)
    refuse_wrong(kind, values)
    connector = made(kind, values | asked(kind, credentials(kind, values), values))
    if not no_test:
        account = tested(connector)
        connector.account_code = account.code if account else None
        connector.tested_at = datetime.now(UTC)
    with asking():
        saved_connectors.save_connector(name, connector)
    _enrol(name, connector)
    say(f"Saved as {name}. Next: {command_as_typed()} poll {name}", style="green")
    follow(name)


def change(name: Name, home: Home = None, *, fields: dict[str, Any]) -> None:
    """Change fields of a saved connector."""
    with asking():
        old, wrong = saved_connectors.load_to_correct(name)
    present = {field: getattr(old, field) for field in type(old).model_fields}
    # An empty value is what the form in the UI sends for a field that was cleared: its default is back.
    values = {field: None if value == "" else value for field, value in typed_values(type(old), fields).items()}
    new = old.again(present | values)
    changed = [field for field, value in present.items() if getattr(new, field) != value]
    if not changed and not wrong:
        raise ConnectorRefused(f"Nothing to change. `{command_as_typed()} connectors set --help` lists the fields.")
    refuse_other_tenant(name, new)
    if not set(changed).isdisjoint(address_fields(type(old))):
        tested(new)
    with asking():
        saved_connectors.save_connector(name, new)
    _enrol(name, new)
    say(f"{name} is changed.", style="green")
    follow(name)


def rotate(name: Name, force: Force = False, home: Home = None, *, fields: dict[str, Any]) -> None:
    """Replace the keys of a connector by new ones of the same account."""
    with asking():
        old, wrong = saved_connectors.load_to_correct(name)
    kind = type(old)
    values = typed_values(kind, fields)
    names = credentials(kind, values, getattr(old, "api", None))
    new = old.rotated(**values | asked(kind, names, values, old))
    same_keys = _usable_keys(old) and old.key_identity() == new.key_identity()
    refuse_other_tenant(name, new)
    account = tested(new)
    code = account.code if account else None
    if not (same_keys or force):
        if old.account_code is None and not wrong:
            old.account_code = _code_of(old)
        _refuse_other_account(old, code, unusable=bool(wrong))
    new.account_code = code or old.account_code
    new.tested_at = datetime.now(UTC)
    with asking():
        saved_connectors.save_connector(name, new)
    say(f"{name} has new keys. Its data, its place and its schedule stay as they were.", style="green")
    follow(name)


FORMS: dict[str, tuple[Callable[..., None], Fields]] = {
    "add": (add, all_fields),
    "set": (change, changed_fields),
    "rotate": (rotate, key_fields),
}


def tested(connector: Connector) -> Account | None:
    """Show the connection test; the account, if it may be asked. Raises ConnectorRefused if a poll would not work."""
    with working("Testing the connection"):
        checks, account = check_connector(connector)
    out.print(checks_table(checks))
    if not passed(checks):
        raise ConnectorRefused("The connection test failed, so nothing was saved. Mend what is marked and try again.")
    return account


def _enrol(name: str, connector: Connector) -> None:
    """Let the tables know it as it is now."""
    registry.upsert_connectors(open_store(load_settings()), [source_of(name, connector)])


def _code_of(connector: Connector) -> str | None:
    """Which account the old keys belong to, if they still work."""
    with working("Asking which account the old keys belong to"):
        _, account = check_connector(connector)
    return account.code if account else None


def _usable_keys(connector: Connector) -> bool:
    """Whether what tells accounts apart is filled in as it must be."""
    kind = type(connector)
    values = {name: getattr(connector, name) for name in kind.model_fields}
    return wrong_fields(kind, values).isdisjoint({*key_fields(kind)} - {"key_expires_at"})


def _refuse_other_account(old: Connector, code: str | None, *, unusable: bool) -> None:
    if old.account_code is None or code is None:
        why = f"{'the old' if old.account_code is None else 'the new'} keys may not ask for its code"
        if old.account_code is None and unusable:
            if not registry.has_brought(open_store(load_settings()), old.connector_id):
                return
            why = "the old ones cannot be used"
        raise ConnectorRefused(
            f"It cannot be seen that the new keys belong to the same account: {why}. "
            "If you are sure that they do, say --force. Nothing was changed."
        )
    if old.account_code != code:
        raise ConnectorRefused("The new keys belong to another account. Save a connector of its own for it.")
