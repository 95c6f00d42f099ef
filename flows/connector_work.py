"""What the connectors commands do, once Prefect is loaded."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import typer

from flows import deploying, lookups, polls
from flows.called import command_as_typed
from flows.connector_form import Fields, all_fields, asked, credentials, key_fields, typed_values
from flows.connector_tables import checks_table, says
from flows.connectors import applied
from flows.layout import facts
from flows.options import Home, Name
from flows.prefect_api import asking, server_in_use
from flows.pull import source_of
from flows.terminal import confirmed, number, out, say, working
from tasks import connectors as saved
from tasks import ledger, purge
from tasks.connector import Account, Check, Connector, PolledConnector
from tasks.database import Store
from tasks.errors import ConnectorRefused, NotDeployed, OperatorError
from tasks.settings import load_settings
from tasks.turn import Turn, TurnTaken

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
    kinds = saved.products()
    kind = kinds.get(product or next(each for each in kinds if issubclass(kinds[each], PolledConnector)))
    if kind is None:
        raise ConnectorRefused(f"There is no product called {product!r}. Known: {', '.join(kinds)}.")
    with asking():
        if name in saved.saved_names():
            raise ConnectorRefused(f"A connector named {name!r} exists already in {saved.asked_where()}.")
    values = typed_values(kind, fields)
    connector = saved.made(kind, values | asked(kind, credentials(kind, values), values))
    if not no_test:
        account = tested(connector)
        connector.account_code = account.code if account else None
        connector.tested_at = datetime.now(UTC)
    with asking():
        saved.save_connector(name, connector)
    if isinstance(connector, PolledConnector):
        ledger.enrol(Store(load_settings()), [source_of(name, connector)])
    say(f"Saved as {name}. Next: {command_as_typed()} poll {name}", style="green")
    follow(name)


def rotate(name: Name, force: Force = False, home: Home = None, *, fields: dict[str, Any]) -> None:
    """Replace the keys of a connector by new ones of the same account."""
    with asking():
        old = saved.load_connector(name)
    kind = type(old)
    values = typed_values(kind, fields)
    names = credentials(kind, values, getattr(old, "api", None))
    new = saved.rotated(old, **values | asked(kind, names, values, old))
    account = tested(new)
    code = account.code if account else None
    if old.account_code is None and old.key_identity() != new.key_identity():
        old.account_code = _code_of(old)
    _refuse_other_account(old, new, code, force)
    new.account_code = code or old.account_code
    new.tested_at = datetime.now(UTC)
    with asking():
        saved.save_connector(name, new)
    say(f"{name} has new keys. Its data, its place and its schedule stay as they were.", style="green")
    follow(name)


FORMS: dict[str, tuple[Callable[..., None], Fields]] = {"add": (add, all_fields), "rotate": (rotate, key_fields)}


def tested(connector: Connector) -> Account | None:
    """Show the connection test; the account, if it may be asked. Raises ConnectorRefused if a poll would not work."""
    with working("Testing the connection"):
        checks, account = saved.check_connector(connector)
    out.print(checks_table(checks))
    if not saved.passed(checks):
        raise ConnectorRefused("The connection test failed, so nothing was saved. Mend what is marked and try again.")
    return account


def test(name: str) -> tuple[list[Check], Account | None]:
    """The connection test of a saved connector, which also learns which account it is."""
    with asking():
        saved.load_connector(name)  # also starts the temporary server, under a line of its own
    with working("Testing the connection"):
        return saved.test_connector(name)


def apply_all() -> list[polls.Poll]:
    """Apply the saved connectors, prefect.yaml first where the server does not know it. Raises NotDeployed."""
    if not server_in_use():
        raise NotDeployed(
            f"No Prefect server is in use that could run schedules. Start one with `{command_as_typed()} serve`: "
            "it applies the connectors by itself."
        )
    with asking("Applying the connectors") as change:
        try:
            return applied()
        except NotDeployed:
            change("Deploying what prefect.yaml declares")
            deploying.deploy()
            change("Applying the connectors")
            return applied()


def follow(name: str, *, removed: bool = False) -> None:
    """Let the deployment of a connector follow what was done to it, and say whether it is polled by itself."""
    wanting = f"It is polled by itself while a server runs: {command_as_typed()} serve"
    done: list[polls.Poll] = []
    if server_in_use():
        wanting = f"It is polled by itself once its schedule is made: {command_as_typed()} connectors apply"
        with suppress(NotDeployed), asking("Applying the connectors"):
            done, wanting = applied(), ""
    if wanting and not removed:
        say(wanting)
    for each in done:
        if each.connector == name and each.done != "unchanged":
            say(says(each))


class Fare(NamedTuple):
    """How a connector fares, as far as server and tables tell."""

    polling: bool | None = None
    state: str | None = None
    last_success_at: datetime | None = None
    lag_seconds: int | None = None


def how_they_fare(found: dict[str, Connector]) -> dict[str, Fare]:
    """Its schedule's switch and its health, by name. The switch is the one of this moment."""
    store, switches = Store(load_settings()), polls.switches()
    health = {row["connector"]: row for row in lookups.health(store)} if store.published_path.exists() else {}
    fare = {}
    for name, each in found.items():
        row, polling = health.get(name, {}), switches.get(each.connector_id) if each.connector_id else None
        state = row.get("state")
        if state not in (None, "never_run") and polling is False:
            state = "off"
        fare[name] = Fare(polling, state, row.get("last_success_at"), row.get("lag_seconds"))
    return fare


def rename(old: str, new: str) -> None:
    """Another name for the same connector, also in the tables."""
    with asking():
        saved.rename(old, new)
        renamed = saved.load_connector(new)
    store = Store(load_settings())
    if renamed.connector_id and store.path.exists():
        ledger.renamed(store, renamed.connector_id, new)


def remove(name: str, *, purging: bool, yes: bool) -> None:
    """Forget a connector; keep or purge its data."""
    with asking():
        connector = saved.list_connectors().get(name)
    store = Store(load_settings())
    known = connector.connector_id if connector else None
    if known is None or not store.path.exists():
        confirmed(f"Remove the connector {name}?", yes)
        with asking():
            saved.remove(name)
        return
    out.print(facts([(kind, number(count)) for kind, count in purge.purge_counts(store, known).items()]))
    fate = "and purge these rows for ever" if purging else "and keep these rows"
    confirmed(f"Remove the connector {name} {fate}?", yes)
    with _turn(store, known):
        if purging:
            purge.purge(store, known)
        with asking():
            saved.remove(name)
        if not purging:
            ledger.removed(store, known, datetime.now(UTC))


@contextmanager
def _turn(store: Store, connector_id: UUID) -> Iterator[None]:
    """No run of the connector may bring rows while it is taken away."""
    turn = Turn(store.settings.home, connector_id, threading.Event())
    try:
        turn.take(patience=5)
    except TurnTaken:
        raise OperatorError(
            "A run of this connector is under way. Wait for its end or cancel it, then try again."
        ) from None
    try:
        yield
    finally:
        turn.release()


def _code_of(connector: Connector) -> str | None:
    """Which account the old keys belong to, if they still work."""
    with working("Asking which account the old keys belong to"):
        _, account = saved.check_connector(connector)
    return account.code if account else None


def _refuse_other_account(old: Connector, new: Connector, code: str | None, force: bool) -> None:
    if old.key_identity() == new.key_identity() or force:
        return
    if old.account_code is None or code is None:
        which = "the old" if old.account_code is None else "the new"
        raise ConnectorRefused(
            f"It cannot be seen that the new keys belong to the same account: {which} keys may not ask for its code. "
            "If you are sure that they do, say --force. Nothing was changed."
        )
    if old.account_code != code:
        raise ConnectorRefused("The new keys belong to another account. Save a connector of its own for it.")
