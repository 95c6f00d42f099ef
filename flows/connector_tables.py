"""Connectors and connection tests on the terminal; secrets are never shown."""

from typing import Any
from uuid import UUID

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from flows.layout import plain_table
from flows.terminal import SYMBOL, shown
from tasks.connector import Check, Connector, PolledConnector

HIDDEN = "********"


def open_values(connector: Connector) -> dict[str, Any]:
    """All fields that say something, secrets as asterisks: fit for a screen and for JSON."""
    values = {name: getattr(connector, name) for name in type(connector).model_fields}
    return {"product": connector.product} | {name: _open(value) for name, value in values.items()}


def _open(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else None
    if value == "":
        return None
    return str(value) if isinstance(value, UUID) else value


def connector_facts(connector: Connector) -> list[tuple[str, Text]]:
    """Every field with a value, by the title it has in the form."""
    fields = type(connector).model_fields
    titles = {name: fields[name].title if name in fields else name.capitalize() for name in open_values(connector)}
    told = {name: value for name, value in open_values(connector).items() if value is not None}
    return [(titles[name] or name, shown(value, limit=1000)) for name, value in told.items()]


def connectors_table(found: dict[str, Connector]) -> Table:
    """One line per saved connector."""
    table = plain_table()
    for title in ("Name", "Product", "Account", "Tenant"):
        table.add_column(title, no_wrap=True)
    table.add_column("Polled every", justify="right", no_wrap=True)
    table.add_column("Keys expire", no_wrap=True)
    table.add_column("Connector id", ratio=1, no_wrap=True)
    for name, each in found.items():
        expiry = f"{each.key_expires_at:%Y-%m-%d}" if each.key_expires_at else None
        facts = [shown(fact) for fact in (each.product, each.account_code, each.tenant)]
        polled = Text(f"{each.polling_minutes} min") if isinstance(each, PolledConnector) else shown(None)
        table.add_row(shown(name, "bold"), *facts, polled, shown(expiry), shown(each.connector_id, "dim"))
    return table


def checks_table(checks: list[Check]) -> Table:
    """One line per check, what to do next below it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for style in ("", "bold", ""):
        grid.add_column(style=style, no_wrap=style == "bold")
    for check in checks:
        symbol, style = SYMBOL[check.state]
        says = shown(check.says, "dim" if check.state == "skipped" else "", limit=1000)
        if check.next_step:
            says.append("\n→ ", style=style).append(shown(check.next_step, limit=1000))
        grid.add_row(Text(symbol, style=style), Text(check.name), says)
    return grid
