"""Tables of connectors, their deployments and connection tests; secrets are never shown."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from flows.cli.views.health import behind, state_text
from flows.console.tables import Fact, plain_table, responsive_table
from flows.console.terminal import SYMBOL, moment, out, short_moment, shown, zone_name
from flows.deploy.connector_deployments import ConnectorDeployment
from flows.deploy.connector_status import ConnectorStatus
from tasks.connectors.base import Connector
from tasks.formatting import format_interval
from tasks.http.check import Check

HIDDEN = "********"


def masked_values(connector: Connector) -> dict[str, Any]:
    """All fields, secrets as asterisks and empty ones as None: safe for a screen and for JSON."""
    values = {name: getattr(connector, name) for name in type(connector).model_fields}
    return {"product": connector.product} | {name: _masked(value) for name, value in values.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else None
    if value == "":
        return None
    return str(value) if isinstance(value, UUID) else value


def connector_facts(name: str, connector: Connector, zone: ZoneInfo) -> list[tuple[str, Text]]:
    """Name and every field with a value, by its title in the form."""
    titles = type(connector).titles()
    values = {"name": name} | {field: value for field, value in masked_values(connector).items() if value is not None}
    return [(titles.get(field, field.capitalize()), _cell(value, zone)) for field, value in values.items()]


def _cell(value: Any, zone: ZoneInfo) -> Text:
    if isinstance(value, datetime):
        return moment(value, zone).append(f" {zone_name(zone)}")
    return shown(value, limit=1000)


def list_values(
    connectors: dict[str, Connector],
    statuses: dict[str, ConnectorStatus],
    wrong_tenant: dict[str, str],
    unusable: dict[str, str],
) -> list[dict[str, Any]]:
    """All saved connectors for JSON; `wrong_tenant` and `unusable` explain why some cannot be polled."""
    rows = [
        {"name": name, **masked_values(connector), **statuses[name]._asdict()}
        | ({"unusable": wrong_tenant[name]} if name in wrong_tenant else {})
        for name, connector in connectors.items()
    ]
    return [*rows, *({"name": name, "unusable": problem} for name, problem in unusable.items())]


def connectors_table(connectors: dict[str, Connector], statuses: dict[str, ConnectorStatus], zone: ZoneInfo) -> Table:
    """One line for each saved connector, two on a narrow terminal."""
    name = Fact("Name", lambda row: shown(row[0], "bold"), wraps=True)
    product = Fact("Product", lambda row: shown(row[1].product))
    place = Fact("Region", lambda row: shown(row[1].place), wraps=True)
    account = Fact("Account", lambda row: shown(row[1].account_code), wraps=True)
    tenant = Fact("Tenant", lambda row: shown(row[1].tenant), wraps=True)
    every = Fact("Every", lambda row: Text(format_interval(row[1].every)))
    polling = Fact("Polling", lambda row: switch(row[2].polling))
    success = Fact(f"Last success ({zone_name(zone)})", lambda row: moment(row[2].last_success_at, zone))
    shortly = Fact(f"Last success\n({zone_name(zone)})", lambda row: short_moment(row[2].last_success_at, zone))
    lag = Fact("Lag", lambda row: behind(row[2].lag_seconds))
    state = Fact("State", lambda row: state_text(row[2].state))
    expiry = Fact("Keys expire", lambda row: _day(row[1].key_expires_at))
    wide = [(fact,) for fact in (name, product, place, account, tenant, every, polling, success, lag, state, expiry)]
    narrow = [(name, state), (product, place), (account, tenant), (every, polling), (shortly,), (lag, expiry)]
    rows = [(name, connector, statuses[name]) for name, connector in connectors.items()]
    return responsive_table(rows, wide, narrow, out.width)


def _day(moment: datetime | None) -> Text:
    return shown(moment and f"{moment:%Y-%m-%d}")


def switch(polling: bool | None) -> Text:
    """On or off; a dash if there is no schedule."""
    if polling is None:
        return shown(None)
    return Text("on", style="green") if polling else Text("off", style="yellow")


def polls_table(polls: list[ConnectorDeployment]) -> Table:
    """One line per deployment of a connector."""
    table = plain_table(expand=False)
    for title in ("Connector", "Deployment", "Every", "Polling", "Done"):
        table.add_column(title, no_wrap=True)
    for poll in polls:
        removed = poll.done == "removed"
        every, polling = ("-", shown(None)) if removed else (format_interval(poll.every), switch(poll.polling))
        style = "dim" if poll.done == "unchanged" else "green"
        table.add_row(shown(poll.connector, "bold"), shown(poll.deployment), every, polling, Text(poll.done, style))
    return table


def poll_values(polls: list[ConnectorDeployment], unusable: dict[str, str]) -> list[dict[str, Any]]:
    """The deployments for JSON, and the connectors that cannot be polled."""
    rows = [poll._asdict() | {"every": int(poll.every.total_seconds())} for poll in polls]
    return [*rows, *({"connector": name, "unusable": problem} for name, problem in unusable.items())]


def checks_table(checks: list[Check]) -> Table:
    """One line per check, its next step below it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for style in ("", "bold", ""):
        grid.add_column(style=style, no_wrap=style == "bold")
    for check in checks:
        symbol, style = SYMBOL[check.state]
        result = shown(check.says, "dim" if check.state == "skipped" else "", limit=1000)
        if check.next_step:
            result.append("\n→ ", style=style).append(shown(check.next_step, limit=1000))
        grid.add_row(Text(symbol, style=style), Text(check.name), result)
    return grid
