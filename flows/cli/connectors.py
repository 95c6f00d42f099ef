"""`connectors …` and `test-connection`: saved connectors from the terminal."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` should not wait for it

from functools import cached_property
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from flows.console.options import Home, Json, Name, example
from flows.console.terminal import out, print_json, print_message, shown
from flows.server import prefect_session
from tasks.settings import load_settings

app = typer.Typer(
    name="connectors",
    no_args_is_help=True,
    help="Save, show and change the accounts to pull from.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("connectors add acme", "connectors list"),
)

KEYS = """

Keys are never arguments: they are read from a hidden prompt or from the environment, for example from
ATTACHMENT_ALERTS_CLIENT_SECRET, or ATTACHMENT_ALERTS_APPLICATION_KEY, _ACCESS_KEY and _SECRET_KEY."""

NONE_SAVED = "No connector is saved yet. Save one: `attachment-alerts connectors add NAME`."

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Force = Annotated[bool, typer.Option("--force", help="Even if nothing shows that the keys belong to the same account.")]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name to save it under: lower-case letters, digits, single dashes.")
]
NoTest = Annotated[bool, typer.Option("--no-test", help="Save without testing the connection first.")]
Product = Annotated[str, typer.Option(help="Product of the account. Default: the one that is polled for scans.")]


class ConnectorFieldsCommand(TyperCommand):
    """A command with an option for each field of the connectors. Its function gets the given fields as `ctx.obj`."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        _load_prefect()  # also for its --help: connectors are subclasses of a Prefect class
        return super().make_context(*arguments, **more)

    @cached_property
    def field_options(self) -> list[Any]:
        from flows.cli.connector_options import FIELDS, field_options

        return field_options(FIELDS[str(self.name)])

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *self.field_options]

    def invoke(self, ctx: Any) -> Any:
        from flows.cli.connector_options import given_fields

        ctx.obj = given_fields({option.name: ctx.params.pop(option.name) for option in self.field_options})
        return super().invoke(ctx)


@app.command(
    cls=ConnectorFieldsCommand,
    help="Save a new connector; its connection is tested first." + KEYS,
    epilog=example("connectors add acme --client-id 0oa8f2", "connectors add acme --api 1.0 --region eu"),
)
def add(ctx: typer.Context, name: NewName, product: Product = "", no_test: NoTest = False, home: Home = None) -> None:
    from flows.cli import connector_saving

    connector_saving.add(name, product, ctx.obj, no_test=no_test)


@app.command("list", epilog=example("connectors list", "connectors list --json"))
def list_all(as_json: Json = False, home: Home = None) -> None:
    """List the saved connectors with polling interval, schedule status and health."""
    _load_prefect()
    from zoneinfo import ZoneInfo

    from flows.cli.views.connectors import connectors_table, list_values
    from flows.deploy.connector_status import connector_statuses, wrong_tenants
    from tasks.saved_connectors import load_all

    settings = load_settings()
    with prefect_session.calling_prefect():
        connectors, unusable = load_all()
        statuses, wrong_tenant = connector_statuses(connectors), wrong_tenants(connectors)
    if as_json:
        print_json(list_values(connectors, statuses, wrong_tenant, unusable))
        return
    if connectors:
        out.print(connectors_table(connectors, statuses, ZoneInfo(settings.time_zone)))
    _print_problems(*(wrong_tenant | unusable).values())
    if not connectors and not unusable:
        print_message(NONE_SAVED)


@app.command(epilog=example("connectors apply", "connectors apply --json"))
def apply(as_json: Json = False, home: Home = None) -> None:
    """Create, update and delete the deployments that poll the saved connectors.

    Each connector gets one, scheduled by its polling frequency.

    Polling is switched on once the connection test has passed. After that the switch is yours.
    """
    _load_prefect()
    from flows.cli.connector_actions import apply_with_deploy
    from flows.cli.views.connectors import poll_values, polls_table

    polls, unusable = apply_with_deploy()
    if as_json:
        print_json(poll_values(polls, unusable))
        return
    if polls:
        out.print(polls_table(polls))
    _print_problems(*unusable.values())
    if not polls and not unusable:
        print_message(NONE_SAVED)


@app.command(epilog=example("connectors show acme"))
def show(name: Name, as_json: Json = False, home: Home = None) -> None:
    """Show one connector, without its secrets."""
    _load_prefect()
    from zoneinfo import ZoneInfo

    from flows.cli.views.connectors import connector_facts, masked_values
    from flows.console.tables import facts
    from flows.deploy.connector_status import wrong_tenants
    from tasks.saved_connectors import load_connector

    with prefect_session.calling_prefect():
        connector = load_connector(name)
    wrong_tenant = wrong_tenants({name: connector}).get(name)
    if as_json:
        print_json({"name": name, **masked_values(connector), **({"unusable": wrong_tenant} if wrong_tenant else {})})
        return
    out.print(facts(connector_facts(name, connector, ZoneInfo(load_settings().time_zone))))
    if wrong_tenant:
        _print_problems(wrong_tenant)


@app.command(epilog=example("connectors rename acme acme-emea"))
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", show_default=False, help="Its new name.")],
    home: Home = None,
) -> None:
    """Rename a connector. Its data and coverage are kept."""
    _load_prefect()
    from flows.cli import connector_actions

    connector_actions.rename(name, new_name)
    print_message(f"{name} was renamed to {new_name}.", style="green")
    connector_actions.update_deployment(new_name)


@app.command(
    "set",
    cls=ConnectorFieldsCommand,
    help="Change a saved connector; if its address changes, the connection is tested first.\n\n"
    "An empty value restores a field's default. To replace the keys, use `connectors rotate`.",
    epilog=example("connectors set acme --polling-minutes 30", "connectors set acme --detection-details-url ''"),
)
def set_fields(ctx: typer.Context, name: Name, home: Home = None) -> None:
    from flows.cli import connector_saving

    connector_saving.set_fields(name, ctx.obj)


@app.command(
    cls=ConnectorFieldsCommand,
    help="Replace the keys of a connector; the new ones are tested first." + KEYS,
    epilog=example("connectors rotate acme", "connectors rotate acme --client-id 0oa9c1 --key-expires-at 2027-03-01"),
)
def rotate(ctx: typer.Context, name: Name, force: Force = False, home: Home = None) -> None:
    from flows.cli import connector_saving

    connector_saving.rotate(name, ctx.obj, force=force)


@app.command(epilog=example("connectors remove acme", "connectors remove acme --purge --yes"))
def remove(
    name: Name,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete all data it fetched.")] = False,
    yes: Yes = False,
    home: Home = None,
) -> None:
    """Remove a connector and its keys. The data it fetched is kept unless purged."""
    _load_prefect()
    from flows.cli import connector_actions

    connector_actions.remove(name, purging=purge, yes=yes)
    print_message(f"{name} is removed.", style="green")
    connector_actions.update_deployment(name, removed=True)


def test(name: str, *, as_json: bool) -> None:
    """Print the connection test; exits with 1 if it failed."""
    _load_prefect()
    from dataclasses import asdict

    from flows.cli import connector_actions
    from flows.cli.views.connectors import checks_table
    from tasks.http.check import passed

    checks, account = connector_actions.test(name)
    if passed(checks):
        connector_actions.update_deployment(name)
    if as_json:
        print_json(
            {"connector": name, "passed": passed(checks), "account": account and asdict(account),
             "checks": [asdict(check) for check in checks]}
        )  # fmt: skip
    else:
        out.print(checks_table(checks))
    if not passed(checks):
        raise typer.Exit(1)


def _print_problems(*problems: str) -> None:
    for problem in problems:
        out.print(shown(problem, "red", limit=1000))


def _load_prefect() -> None:
    prefect_session.load(load_settings().home)
    from tasks.connectors.prefect_client import api_location

    print_message(f"Connectors are saved in {api_location()}.")
