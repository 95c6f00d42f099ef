"""The commands `alerts`, `group` and `health`, which read the published tables."""

# ruff: noqa: PLC0415 - imported where it is used: `--help` should not wait for DuckDB and polars

import sys
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from flows.console.datetimes import parse_since
from flows.console.options import Home, Json
from flows.console.terminal import out, print_json, print_message, show_reading_progress
from tasks.settings import load_settings

WARNING, CRITICAL = 1, 2  # exit statuses as monitoring systems define them
GRAVITY = {"ok": 0, "off": 0, "late": WARNING, "quiet": WARNING, "never_run": WARNING}  # other states: CRITICAL
GRAVITY_OF_OFF = {"ok": 0, "warning": WARNING, "critical": CRITICAL}


def alerts(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of groups.")] = 50,
    priority: Annotated[
        Literal["high", "medium"] | None, typer.Option(show_default=False, help="Only groups of this priority.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", show_default=False, help="Only groups with an alert since this time: 2026-03-01, 24h or 7d."
        ),
    ] = None,
    status: Annotated[
        Literal["open", "new", "in_progress", "closed", "all"], typer.Option(help="Only groups of this status.")
    ] = "open",
    tenant: Annotated[str | None, typer.Option(show_default=False, help="Only groups of this organisation.")] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List the alert groups, most urgent first; closed ones only with --status."""
    from flows.cli.views.groups import footer, groups_table
    from tasks.queries import lookups
    from tasks.store.factory import open_store

    store = open_store(load_settings())
    zone = ZoneInfo(store.settings.time_zone)
    start = parse_since(since, datetime.now(UTC)) if since else None
    with show_reading_progress():
        groups = lookups.groups(store, limit, priority, start, status, tenant)
        totals = lookups.totals(store)
    if as_json:
        print_json(groups)
        return
    if groups:
        out.print(groups_table(groups, zone))
    out.print(footer(totals, groups, zone, chosen=bool(priority or since or tenant)))


def group(
    group_id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="ID of a group, or its first characters.")
    ],
    latest: Annotated[int, typer.Option("--alerts", min=1, help="Maximum number of alerts and exposures.")] = 20,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show one alert group with its alerts.

    The first characters of an ID are enough. If the group has ended, the group that received its alerts is shown.
    """
    from flows.cli.views.group import group_page
    from tasks.queries import lookups
    from tasks.store.factory import open_store

    store = open_store(load_settings())
    with show_reading_progress():
        page = lookups.group(store, group_id, latest)
    if page.asked_for:
        print_message(f"Group {page.asked_for} has ended; its alerts were moved to {page.group['group_id']}.")
    if as_json:
        print_json(page._asdict())
    else:
        out.print(group_page(page, ZoneInfo(store.settings.time_zone)))


def health(
    output: Annotated[
        Literal["table", "json", "prometheus"],
        typer.Option("--format", help="prometheus: a text file for the node_exporter."),
    ] = "table",
    switched_off: Annotated[
        Literal["ok", "warning", "critical"],
        typer.Option(help="How a connector counts whose schedule is switched off: exit status 0, 1 or 2."),
    ] = "ok",
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show the health of each connector; the exit status is for monitoring.

    0: all are ok, or switched off.

    1: at least one is late, quiet or has never run, nothing is published yet, or messages could not be sent yet.

    2: at least one is failing, or its keys are refused.
    """
    from flows.cli.views.health import health_errors, health_table
    from flows.cli.views.health_metrics import prometheus_text
    from flows.server.addresses import configured_url
    from flows.server.open_api import warn_if_open
    from tasks.queries import lookups
    from tasks.store.factory import open_store

    store = open_store(load_settings())
    with show_reading_progress():
        rows = lookups.health(store)
        warn_if_open(configured_url())
    gravity = GRAVITY | {"off": GRAVITY_OF_OFF[switched_off]}
    status = max((gravity.get(row["state"], CRITICAL) for row in rows), default=WARNING)
    if any(row["messages_waiting"] for row in rows):
        status = max(status, WARNING)
    if output == "prometheus":
        sys.stdout.write(prometheus_text(rows, status))
    elif as_json or output == "json":
        print_json(rows)
    elif rows:
        out.print(health_table(rows, ZoneInfo(store.settings.time_zone)), *health_errors(rows), sep="\n")
    else:
        print_message("No connector has been polled in this home yet.")
    raise typer.Exit(status)
