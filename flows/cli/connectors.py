"""`connectors …` and `test-connection`: saved connectors from the terminal."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` shall not wait for it

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from flows.console.options import Home, Json, Name, example
from flows.console.terminal import out, print_json, say, shown
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

Keys are never arguments: they are asked for without being shown, or taken from the environment, for example from
ATTACHMENT_ALERTS_CLIENT_SECRET, or ATTACHMENT_ALERTS_APPLICATION_KEY, _ACCESS_KEY and _SECRET_KEY."""

NONE_SAVED = "No connector is saved there yet. Save one with `attachment-alerts connectors add NAME`."

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class WithFields(TyperCommand):
    """A command with a connector's fields as options; they are known once Prefect is loaded."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        _load()  # also for its --help: the fields are a class of Prefect's
        from flows.cli.connector_options import with_options
        from flows.cli.connector_saving import FORMS

        return with_options(self, *FORMS[str(self.name)]).make_context(*arguments, **more)


@app.command(
    cls=WithFields,
    help="Save a new connector; its connection is tested first." + KEYS,
    epilog=example("connectors add acme --client-id 0oa8f2", "connectors add acme --api 1.0 --region eu"),
)
def add() -> None:
    """Stands for `connector_saving.add`."""


@app.command("list", epilog=example("connectors list", "connectors list --json"))
def list_all(as_json: Json = False, home: Home = None) -> None:
    """List the saved connectors: how often they are polled, whether they are, and how they fare."""
    _load()
    from zoneinfo import ZoneInfo

    from flows.cli.views.connectors import connectors_table, list_values
    from flows.deploy.connector_status import connector_statuses, wrong_tenants
    from tasks.saved_connectors import load_all

    settings = load_settings()
    with prefect_session.asking():
        found, unusable = load_all()
        fare, moved = connector_statuses(found), wrong_tenants(found)
    if as_json:
        print_json(list_values(found, fare, moved, unusable))
        return
    if found:
        out.print(connectors_table(found, fare, ZoneInfo(settings.time_zone)))
    _print_problems(*(moved | unusable).values())
    if not found and not unusable:
        say(NONE_SAVED)


@app.command(epilog=example("connectors apply", "connectors apply --json"))
def apply(as_json: Json = False, home: Home = None) -> None:
    """Make, change and remove the deployments that poll the saved connectors.

    Each connector gets one, scheduled by its polling frequency; a second time nothing changes.

    Polling is switched on when the connection test has passed. After that its switch is left to you.
    """
    _load()
    from flows.cli.connector_actions import apply_with_deploy
    from flows.cli.views.connectors import poll_values, polls_table

    done, unusable = apply_with_deploy()
    if as_json:
        print_json(poll_values(done, unusable))
        return
    if done:
        out.print(polls_table(done))
    _print_problems(*unusable.values())
    if not done and not unusable:
        say(NONE_SAVED)


@app.command(epilog=example("connectors show acme"))
def show(name: Name, as_json: Json = False, home: Home = None) -> None:
    """Show one connector, without its secrets."""
    _load()
    from zoneinfo import ZoneInfo

    from flows.cli.views.connectors import connector_facts, masked_values
    from flows.console.tables import facts
    from flows.deploy.connector_status import wrong_tenants
    from tasks.saved_connectors import load_to_correct

    with prefect_session.asking():
        connector, wrong = load_to_correct(name)
    wrong = wrong or wrong_tenants({name: connector}).get(name)
    if as_json:
        print_json({"name": name, **masked_values(connector), **({"unusable": wrong} if wrong else {})})
        return
    out.print(facts(connector_facts(name, connector, ZoneInfo(load_settings().time_zone))))
    if wrong:
        _print_problems(wrong)


@app.command(epilog=example("connectors rename acme acme-emea"))
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", show_default=False, help="Its new name.")],
    home: Home = None,
) -> None:
    """Give a connector another name. Its data and its place stay."""
    _load()
    from flows.cli import connector_actions

    connector_actions.rename(name, new_name)
    say(f"{name} is {new_name} now.", style="green")
    connector_actions.update_deployment(new_name)


@app.command(
    "set",
    cls=WithFields,
    help="Change a saved connector; where its address changes, its connection is tested first.\n\n"
    "An empty value puts a field's default back. New keys are given with `connectors rotate`.",
    epilog=example("connectors set acme --polling-minutes 30", "connectors set acme --detection-details-url ''"),
)
def set_fields() -> None:
    """Stands for `connector_saving.change`."""


@app.command(
    cls=WithFields,
    help="Replace the keys of a connector, of either API generation; the new ones are tested first." + KEYS,
    epilog=example("connectors rotate acme", "connectors rotate acme --client-id 0oa9c1 --key-expires-at 2027-03-01"),
)
def rotate() -> None:
    """Stands for `connector_saving.rotate`."""


@app.command(epilog=example("connectors remove acme", "connectors remove acme --purge --yes"))
def remove(
    name: Name,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything it ever brought.")] = False,
    yes: Yes = False,
    home: Home = None,
) -> None:
    """Forget a connector and its keys. What it brought stays, unless purged."""
    _load()
    from flows.cli import connector_actions

    connector_actions.remove(name, purging=purge, yes=yes)
    say(f"{name} is removed.", style="green")
    connector_actions.update_deployment(name, removed=True)


def test(name: str, *, as_json: bool) -> None:
    """The connection test; exits with 1 if a poll would not work."""
    _load()
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


def _print_problems(*sentences: str) -> None:
    for each in sentences:
        out.print(shown(each, "red", limit=1000))


def _load() -> None:
    prefect_session.load(load_settings().home)
    from tasks.connectors.prefect_client import api_location

    say(f"Connectors are kept in {api_location()}.")
