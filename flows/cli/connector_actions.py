"""What the commands about saved connectors do, once Prefect is loaded; `connector_saving` has those that save one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

from flows.artifacts.dashboard_writer import mark_health_page_renamed
from flows.console.invocation import command_as_typed
from flows.console.tables import facts
from flows.console.terminal import confirm, number, out, say, working
from flows.deploy import prefect_yaml
from flows.deploy.apply import ApplyResult, apply_connectors
from flows.server.prefect_session import asking, server_in_use
from tasks import saved_connectors
from tasks.connectors.block_documents import unknown_connector_message
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
    with asking():  # loading also starts the temporary server, which has its own progress line
        refuse_other_tenant(name, saved_connectors.load_connector(name))
    with working("Testing the connection"):
        return saved_connectors.test_connector(name)


def apply_with_deploy() -> ApplyResult:
    """Apply the saved connectors; deploy prefect.yaml first if the server does not have it. Raises NotDeployed."""
    if not server_in_use():
        raise NotDeployed(
            "No Prefect server is in use that could run schedules. Start one with "
            f"`{command_as_typed()} serve`, which also applies the connectors."
        )
    with asking("Applying the connectors") as change:
        try:
            return apply_connectors()
        except NotDeployed:
            change("Deploying what prefect.yaml declares")
            prefect_yaml.deploy()
            change("Applying the connectors")
            return apply_connectors()


def update_deployment(name: str, *, removed: bool = False) -> None:
    """Update the deployment of a connector after a change, and print whether it is polled automatically."""
    missing = f"It is polled automatically while a server runs. Start one with `{command_as_typed()} serve`."
    done = ApplyResult([], {})
    if server_in_use():
        missing = f"It is polled automatically once it has a schedule. Run `{command_as_typed()} connectors apply`."
        with suppress(NotDeployed), asking("Applying the connectors"):
            done, missing = apply_connectors(), ""
    if missing and not removed:
        say(missing)
    for poll in done.polls:
        if poll.connector == name and poll.done != "unchanged":
            say(poll.summary())
    if problem := done.unusable.get(name):
        say(problem, style="yellow")


def rename(old: str, new: str) -> None:
    """Rename a connector, in the tables too."""
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
        say(f"The health page of {old} in the Prefect UI was not updated: {error}", style="yellow")


def remove(name: str, *, purging: bool, yes: bool) -> None:
    """Remove a connector; keep or purge its data, also the data of a connector that was removed before."""
    store = open_store(load_settings())
    with asking():
        is_saved = name in saved_names()
        connector_id = _id_of(name) if is_saved else None
    stored = registry.find_connector_by_name(store, name) if connector_id is None else None
    if not is_saved and not (stored and purging):
        hint = f" Its data is kept. Run `{command_as_typed()} connectors remove {name} --purge` to delete it."
        raise UnknownConnector(unknown_connector_message(name) + (hint if stored else ""))
    known = stored.connector_id if stored else connector_id
    if known is None or not store.exists():
        confirm(f"Remove the connector {name}?", yes)
        with asking():
            saved_connectors.remove(name)
        return
    out.print(facts([(kind, number(count)) for kind, count in purge.purge_counts(store, known).items()]))
    fate = "and purge these rows for ever" if purging else "and keep these rows"
    confirm(f"Remove the connector {name} {fate}?", yes)
    with _account_locked(store, known):
        if purging:
            purge.purge(store, known)
        if is_saved:
            with asking():
                saved_connectors.remove(name)
        if not purging:
            registry.mark_removed(store, known, datetime.now(UTC))


def _id_of(name: str) -> UUID | None:
    """The connector's id; None for an unusable connector, whose data is then found by name."""
    try:
        return saved_connectors.load_connector(name).connector_id
    except ConnectorRefused:
        return None


@contextmanager
def _account_locked(store: Store, connector_id: UUID) -> Iterator[None]:
    """Keeps runs of the connector from loading rows while it is removed."""
    account = store.account(connector_id, threading.Event())
    try:
        account.acquire(patience=5)
    except AccountBusy:
        raise OperatorError(
            "This connector has an active run. Wait until it ends or cancel it, then try again."
        ) from None
    try:
        yield
    finally:
        account.release()
