"""Saved connectors as work for a schedule or a click: apply them, test one."""

import logging
from typing import Any, NamedTuple

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import dead_runs, polls
from flows.choices import offer
from flows.markdown_format import sentence
from flows.sources import refuse_other_tenant, source_of
from flows.standing_pages import health_anew, urgent_followed
from tasks import registry
from tasks.checks import Check, passed
from tasks.connector import Connector
from tasks.connector_documents import offer_forms, saved_names
from tasks.connectors import load_connector, sorted_out, test_connector
from tasks.database import Store
from tasks.errors import AlertsError, NotDeployed
from tasks.prefect_in_use import prefect_client
from tasks.settings import load_settings
from tasks.untrusted import plain

log = logging.getLogger("attachment_alerts.connectors")
log.setLevel(logging.INFO)  # Prefect shows the lines of extra loggers from their own level on


class Applied(NamedTuple):
    """What came of the saved connectors."""

    polls: list[polls.Poll]
    unusable: dict[str, str]
    """those that cannot be polled as they are saved: what to do about it, by name"""


def applied() -> Applied:
    """Apply the saved connectors; tables and pages learn which of them are polled, a new server learns the forms."""
    offer_forms()
    with prefect_client() as client:
        dead_runs.watched(client)
    store = Store(load_settings())
    connectors, unusable = _usable(store)
    done = polls.apply(connectors, unusable)
    offer(connectors, unusable)
    switches = {poll.connector: poll.polling for poll in done}
    sources = [source_of(name, each)._replace(polling=switches.get(name)) for name, each in connectors.items()]
    registry.enrol(store, sources)
    undeployed = {poll.connector_id for poll in done if poll.done == "removed"}
    if gone := registry.missing(store, sources, undeployed):
        listed = {source.name for source in sources}
        kept = saved_names().keys() - listed  # asked again: one may have been saved since these were listed
        registry.retire(store, [each for each, name in gone.items() if name not in kept], undeployed)
    health_anew(store, sources)
    urgent_followed(store)
    taken = connectors.keys() - {poll.connector for poll in done}
    return Applied(done, unusable | {name: _name_taken(name) for name in sorted(taken)})


def _usable(store: Store) -> tuple[dict[str, Connector], dict[str, str]]:
    """The saved connectors that can be used, by name, and what to do about each of the others."""
    connectors, unusable = sorted_out()
    refused = registry.other_tenants(store, [source_of(name, each) for name, each in connectors.items()])
    return {name: each for name, each in connectors.items() if name not in refused}, unusable | refused


def _name_taken(name: str) -> str:
    return (
        f"The connector {name!r} is not polled, for that is the name of a deployment in prefect.yaml. Rename it with "
        f"`attachment-alerts connectors rename {name} NEW`."
    )


@flow(name="connectors-apply", flow_run_name="apply connectors")
def connectors_apply() -> State[Any]:
    """Make, change and remove the deployments that poll the saved connectors, so that they fit them.

    Run it after a connector was saved, changed or removed in the UI. A second time it changes nothing. Polling is
    switched on by itself once the connection test has passed; after that the switch of the schedule is left alone.
    """
    try:
        done, unusable = applied()
    except AlertsError as error:
        return Failed(message=str(error))
    return Completed(message=" ".join([summary(done), *unusable.values()]), data=[poll._asdict() for poll in done])


def summary(done: list[polls.Poll]) -> str:
    """What was done, in a sentence."""
    news = [f"{poll.deployment} {poll.done}" for poll in done if poll.done != "unchanged"]
    on = sum(poll.polling for poll in done)
    count = sum(poll.done != "removed" for poll in done)
    return f"{'; '.join(news) or 'Nothing to change'}. {on} of {count} connectors are polled."


LEVELS = {"ok": logging.INFO, "warning": logging.WARNING, "failed": logging.ERROR, "skipped": logging.INFO}


@task(task_run_name="ask {connector}", cache_policy=NO_CACHE)
def check(connector: str) -> list[Check]:
    """The checks in their order, also as a table on the page of the run; a test that passes is remembered."""
    refuse_other_tenant(connector, load_connector(connector))
    checks = test_connector(connector)[0]
    rows = [row(each) for each in checks]
    create_table_artifact(rows, key=f"test-{connector}", description=f"Connection test of {connector}")
    for each in checks:
        log.log(LEVELS[each.state], "%s: %s", each.name, plain(f"{each.says} {each.next_step or ''}".strip(), 1000))
    return checks


def row(check: Check) -> dict[str, str]:
    """One check in the table; one UI shows its cells as Markdown, and what was found may quote the service."""
    state = "not tested" if check.state == "skipped" else check.state
    said = {"what was found": sentence(check.says), "what to do": sentence(check.next_step or "")}
    return {"check": check.name, "state": state, **said}


@flow(name="test-connection", flow_run_name="{connector} connection test")
def test_connection(connector: str) -> State[Any]:
    """Ask the service, check by check, whether a poll would work, and say what to do where it would not.

    Polling begins after the first test that passes.

    Args:
        connector: Which account: the name under which its connector is saved.
    """
    try:
        checks = check(connector)
    except AlertsError as error:
        return Failed(message=str(error))
    if not passed(checks):
        return Failed(message=_why(checks))
    return Completed(message=f"A poll of {connector} works.{_switched_on(connector)}")


def _switched_on(connector: str) -> str:
    """Let the schedule follow at once; what that came to, for the state of the run."""
    try:
        news = [poll for poll in applied().polls if poll.connector == connector and poll.done != "unchanged"]
    except NotDeployed:  # run by hand, on a server that knows no deployments: there is nothing to switch
        return ""
    except AlertsError as error:  # the test has passed all the same
        return f" {error}"
    return "".join(f" {poll.deployment} {poll.done}." for poll in news)


def _why(checks: list[Check]) -> str:
    wrong = next((check for check in checks if check.state == "failed"), None)
    if wrong is None:
        return "Not everything could be tested."
    return f"{wrong.name}: {wrong.says} {wrong.next_step or ''}".strip()
