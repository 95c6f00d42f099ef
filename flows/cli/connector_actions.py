"""What the commands for saved connectors do once Prefect is loaded; those that save one are in `connector_saving`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

from flows.console.invocation import shell_command
from flows.console.tables import facts
from flows.console.terminal import confirm, number, out, print_message, show_progress
from flows.deploy import prefect_yaml
from flows.deploy.apply import ApplyResult, apply_connectors
from flows.server.prefect_session import calling_prefect, has_permanent_server
from tasks import saved_connectors
from tasks.connectors.block_documents import unknown_connector_message
from tasks.errors import ConnectorRefused, NotDeployed, OperatorError, UnknownConnector
from tasks.http.check import Account, Check
from tasks.ingest import registry
from tasks.ingest.connector_source import refuse_other_tenant
from tasks.maintenance import purge
from tasks.saved_connectors import saved_names
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import AccountBusy, Store


def test(name: str) -> tuple[list[Check], Account | None]:
    with calling_prefect():  # loading also starts the temporary server, which has its own progress line
        refuse_other_tenant(name, saved_connectors.load_connector(name))
    with show_progress("Testing the connection"):
        return saved_connectors.test_connector(name)


def apply_with_deploy() -> ApplyResult:
    """Apply the saved connectors; deploy prefect.yaml first if the server does not have it. Raises NotDeployed."""
    if not has_permanent_server():
        raise NotDeployed(
            "No Prefect server is in use that could run schedules. Start one with "
            f"`{shell_command()} serve`, which also applies the connectors."
        )
    with calling_prefect("Applying the connectors") as change:
        try:
            return apply_connectors()
        except NotDeployed:
            change("Deploying what prefect.yaml declares")
            prefect_yaml.deploy()
            change("Applying the connectors")
            return apply_connectors()


def update_deployment(name: str, *, removed: bool = False) -> None:
    """Update the deployment of a connector after a change, and print whether it is polled automatically."""
    missing = f"It is polled automatically while a server runs. Start one with `{shell_command()} serve`."
    done = ApplyResult([], {})
    if has_permanent_server():
        missing = f"It is polled automatically once it has a schedule. Run `{shell_command()} connectors apply`."
        with suppress(NotDeployed), calling_prefect("Applying the connectors"):
            done, missing = apply_connectors(), ""
    if missing and not removed:
        print_message(missing)
    for poll in done.polls:
        if poll.connector == name and poll.done != "unchanged":
            print_message(poll.summary())
    if problem := done.unusable.get(name):
        print_message(problem, style="yellow")


def rename(old: str, new: str) -> None:
    """Rename a connector, in the tables too."""
    with calling_prefect():
        saved_connectors.rename(old, new)
        renamed = saved_connectors.load_connector(new)
    store = open_store(load_settings())
    if renamed.connector_id and store.exists():
        registry.rename_connector(store, renamed.connector_id, new)


def remove(name: str, *, purging: bool, yes: bool) -> None:
    """Remove a connector; keep or purge its data, also the data of a connector that was removed before."""
    store = open_store(load_settings())
    with calling_prefect():
        is_saved = name in saved_names()
        connector_id = _id_of(name) if is_saved else None
    stored = registry.find_connector_by_name(store, name) if connector_id is None else None
    if not is_saved and not (stored and purging):
        hint = f" Its data is kept. Run `{shell_command()} connectors remove {name} --purge` to delete it."
        raise UnknownConnector(unknown_connector_message(name) + (hint if stored else ""))
    id_in_store = stored.connector_id if stored else connector_id
    if id_in_store is None or not store.exists():
        confirm(f"Remove the connector {name}?", yes)
        with calling_prefect():
            saved_connectors.remove(name)
        return
    out.print(facts([(kind, number(count)) for kind, count in purge.count_rows_to_purge(store, id_in_store).items()]))
    what_happens = "and delete these rows for ever" if purging else "and keep these rows"
    confirm(f"Remove the connector {name} {what_happens}?", yes)
    with _account_locked(store, id_in_store):
        if purging:
            purge.purge(store, id_in_store)
        if is_saved:
            with calling_prefect():
                saved_connectors.remove(name)
        if not purging:
            registry.mark_removed(store, id_in_store, datetime.now(UTC))


def _id_of(name: str) -> UUID | None:
    """The connector's id; None for an unusable connector, whose data is then found by name."""
    try:
        return saved_connectors.load_connector(name).connector_id
    except ConnectorRefused:
        return None


@contextmanager
def _account_locked(store: Store, connector_id: UUID) -> Iterator[None]:
    """Prevent runs of the connector from loading rows while it is removed."""
    account = store.account(connector_id, threading.Event())
    try:
        account.acquire(patience=5)
    except AccountBusy:
        raise OperatorError(
            "This connector has an active run. Cancel it or wait until it ends, then try again."
        ) from None
    try:
        yield
    finally:
        account.release()
