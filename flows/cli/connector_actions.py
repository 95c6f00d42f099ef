"""What the commands about saved connectors do, once Prefect is loaded; what saves one anew is in `connector_saving`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

from flows.artifacts.dashboard_writer import mark_health_page_renamed
from flows.console.invocation import command_as_typed
from flows.console.tables import facts
from flows.console.terminal import confirmed, number, out, say, working
from flows.deploy import connector_deployments, prefect_yaml
from flows.deploy.apply import Applied, applied
from flows.deploy.connector_deployments import says
from flows.server.prefect_session import asking, server_in_use
from tasks import saved_connectors
from tasks.connectors.block_documents import nothing_saved_as
from tasks.connectors.prefect_client import asked_where
from tasks.errors import AlertsError, ConnectorRefused, NotDeployed, OperatorError, UnknownConnector
from tasks.http.check import Account, Check
from tasks.ingest import registry
from tasks.ingest.connector_source import refuse_other_tenant
from tasks.maintenance import purge
from tasks.saved_connectors import saved_names
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import AccountBusy, Store


def test(name: str) -> tuple[list[Check], Account | None]:
    """The connection test of a saved connector, which also learns which account it is."""
    with asking():
        refuse_other_tenant(
            name, saved_connectors.load_connector(name)
        )  # also starts the temporary server, under its own line
    with working("Testing the connection"):
        return saved_connectors.test_connector(name)


def apply_all() -> Applied:
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
            prefect_yaml.deploy()
            change("Applying the connectors")
            return applied()


def follow(name: str, *, removed: bool = False) -> None:
    """Let the deployment of a connector follow what was done to it, and say whether it is polled by itself."""
    wanting = f"It is polled by itself while a server runs: {command_as_typed()} serve"
    done = Applied([], {})
    if server_in_use():
        wanting = f"It is polled by itself once its schedule is made: {command_as_typed()} connectors apply"
        with suppress(NotDeployed), asking("Applying the connectors"):
            done, wanting = applied(), ""
    if wanting and not removed:
        say(wanting)
    for each in done.polls:
        if each.connector == name and each.done != "unchanged":
            say(says(each))
    if wrong := done.unusable.get(name):
        say(wrong, style="yellow")


def rename(old: str, new: str) -> None:
    """Another name for the same connector, also in the tables."""
    with asking():
        saved_connectors.rename(old, new)
        renamed = saved_connectors.load_connector(new)
    store = open_store(load_settings())
    if renamed.connector_id and store.exists():
        registry.rename_connector(store, renamed.connector_id, new)
    try:
        with asking():
            mark_health_page_renamed(old, new)
    except AlertsError as error:  # the rest is done
        say(f"The page of its old name in the Prefect UI does not say so yet: {error}", style="yellow")


def remove(name: str, *, purging: bool, yes: bool) -> None:
    """Forget a connector; keep or purge its data, also that of one that is saved no more."""
    store = open_store(load_settings())
    with asking():
        is_saved = name in saved_names()
        connector_id = _id_of(name) if is_saved else None
    stored = registry.find_connector_by_name(store, name) if connector_id is None else None
    if not is_saved:
        _refuse_alive(store, name, stored, purging)
    known = stored.connector_id if stored else connector_id
    if known is None or not store.exists():
        confirmed(f"Remove the connector {name}?", yes)
        with asking():
            saved_connectors.remove(name)
        return
    out.print(facts([(kind, number(count)) for kind, count in purge.purge_counts(store, known).items()]))
    fate = "and purge these rows for ever" if purging else "and keep these rows"
    confirmed(f"Remove the connector {name} {fate}?", yes)
    with _turn(store, known):
        if purging:
            purge.purge(store, known)
        if is_saved:
            with asking():
                saved_connectors.remove(name)
        if not purging:
            registry.mark_removed(store, known, datetime.now(UTC))


def _refuse_alive(store: Store, name: str, stored: registry.KnownConnector | None, purging: bool) -> None:
    """Of a name that is not saved only the data of a connector that is removed can be taken away."""
    if stored and not stored.removed and _may_be_elsewhere(store, stored.connector_id):
        raise OperatorError(
            f"{name!r} is not saved in {asked_where()}, and may be saved in another Prefect API: set PREFECT_API_URL. "
            "If it is saved nowhere any more: when nobody has polled it for three polling periods and 15 minutes, run "
            f"`{command_as_typed()} connectors apply`, and it is known as removed."
        )
    if not (stored and purging):
        rest = f" What it brought is kept: `{command_as_typed()} connectors remove {name} --purge` removes it."
        raise UnknownConnector(nothing_saved_as(name) + (rest if stored else ""))


def _may_be_elsewhere(store: Store, connector_id: UUID) -> bool:
    """Whether another Prefect API may poll it: one that has a deployment here was saved here."""
    if not registry.has_brought(store, connector_id):  # then it comes back as it is with that API's next apply
        return False
    with asking():
        return connector_id not in connector_deployments.switches()


def _id_of(name: str) -> UUID | None:
    """The connector's id; None where what is saved cannot be used: then the tables know it by its name."""
    try:
        return saved_connectors.load_connector(name).connector_id
    except ConnectorRefused:
        return None


@contextmanager
def _turn(store: Store, connector_id: UUID) -> Iterator[None]:
    """No run of the connector may bring rows while it is taken away."""
    account = store.account(connector_id, threading.Event())
    try:
        account.acquire(patience=5)
    except AccountBusy:
        raise OperatorError(
            "A run of this connector is under way. Wait for its end or cancel it, then try again."
        ) from None
    try:
        yield
    finally:
        account.release()
