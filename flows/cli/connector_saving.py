"""What `connectors add`, `set` and `rotate` do: save a connector once its connection test has passed."""

from datetime import UTC, datetime
from typing import Any

from flows.cli.connector_actions import update_deployment
from flows.cli.connector_options import credentials_to_prompt, parse_values, prompt_for
from flows.cli.views.connectors import checks_table
from flows.console.invocation import shell_command
from flows.console.terminal import out, print_message, show_progress
from flows.server.prefect_session import calling_prefect, warn_of_open_api
from tasks import saved_connectors
from tasks.connectors.base import Connector, build_connector, check_values
from tasks.connectors.polled import PolledConnector
from tasks.errors import ConnectorRefused
from tasks.http.check import Account, passed
from tasks.ingest import registry
from tasks.ingest.connector_source import refuse_other_tenant, source_of
from tasks.products import PRODUCTS, check_connector
from tasks.settings import load_settings
from tasks.store.factory import open_store


def add(name: str, product: str, fields: dict[str, Any], *, no_test: bool) -> None:
    """`product`: empty for the product that is polled for scans."""
    cls = _product_class(product)
    warn_of_open_api()
    with calling_prefect():
        saved_connectors.check_new_name(name)
    values = parse_values(cls, fields)
    check_values(cls, values)
    connector = build_connector(cls, values | prompt_for(cls, credentials_to_prompt(cls, values), values))
    if not no_test:
        account = test_before_saving(connector)
        connector.account_code = account.code if account else None
        connector.tested_at = datetime.now(UTC)
    with calling_prefect():
        saved_connectors.save_connector(name, connector)
    _register(name, connector)
    print_message(f"Saved as {name}. Next: {shell_command()} poll {name}", style="green")
    update_deployment(name)


def set_fields(name: str, fields: dict[str, Any]) -> None:
    with calling_prefect():
        old = saved_connectors.load_connector(name)
    present = {field: getattr(old, field) for field in type(old).model_fields}
    # An empty value restores the default, as the form in the UI does for a cleared field.
    values = {field: None if value == "" else value for field, value in parse_values(type(old), fields).items()}
    new = old.replace_values(present | values)
    changed = [field for field, value in present.items() if getattr(new, field) != value]
    if not changed:
        raise ConnectorRefused(
            f"{name!r} already has these values. Run `{shell_command()} connectors set --help` to see the fields."
        )
    refuse_other_tenant(name, new)
    if not set(changed).isdisjoint(type(old).address_fields):
        test_before_saving(new)
    with calling_prefect():
        saved_connectors.save_connector(name, new)
    _register(name, new)
    print_message(f"{name} was changed.", style="green")
    update_deployment(name)


def rotate(name: str, fields: dict[str, Any], *, force: bool) -> None:
    """`force`: even if nothing shows that the new keys belong to the same account."""
    with calling_prefect():
        old = saved_connectors.load_connector(name)
    cls = type(old)
    values = parse_values(cls, fields)
    names = credentials_to_prompt(cls, values, getattr(old, "api", None))
    new = old.rotated(**values | prompt_for(cls, names, values, old))
    refuse_other_tenant(name, new)
    account = test_before_saving(new)
    code = account.code if account else None
    if old.key_identity() != new.key_identity() and not force:
        if old.account_code is None:
            old.account_code = _old_account_code(old)
        _check_same_account(old, code)
    new.account_code = code or old.account_code
    new.tested_at = datetime.now(UTC)
    with calling_prefect():
        saved_connectors.save_connector(name, new)
    print_message(f"{name} has new keys. Its data, coverage and schedule are unchanged.", style="green")
    update_deployment(name)


def test_before_saving(connector: Connector) -> Account | None:
    """Print the connection test; the account, if the keys may read it. Raises ConnectorRefused for a failed test."""
    with show_progress("Testing the connection"):
        checks, account = check_connector(connector)
    out.print(checks_table(checks))
    if not passed(checks):
        raise ConnectorRefused(
            "The connection test failed, so nothing was saved. Fix the failed checks above and try again."
        )
    return account


def _product_class(product: str) -> type[Connector]:
    classes = {name: entry.connector for name, entry in PRODUCTS.items()}
    if not product:
        return next(cls for cls in classes.values() if issubclass(cls, PolledConnector))
    if product not in classes:
        raise ConnectorRefused(f"Unknown product {product!r}. Use one of {', '.join(classes)}.")
    return classes[product]


def _register(name: str, connector: Connector) -> None:
    """Update the store's row of the connector."""
    registry.upsert_connectors(open_store(load_settings()), [source_of(name, connector)])


def _old_account_code(connector: Connector) -> str | None:
    """The account of the old keys, if they still work."""
    with show_progress("Reading the account of the old keys"):
        _, account = check_connector(connector)
    return account.code if account else None


def _check_same_account(old: Connector, code: str | None) -> None:
    if old.account_code is None or code is None:
        which = "old" if old.account_code is None else "new"
        raise ConnectorRefused(
            f"The {which} keys may not read the account code, so nothing shows that the new keys belong to the same "
            "account. Nothing was changed. If you are sure that they do, use --force."
        )
    if old.account_code != code:
        raise ConnectorRefused("The new keys belong to another account. Save another connector for it.")
