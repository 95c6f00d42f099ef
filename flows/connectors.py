"""Saved connectors as work for a schedule or a click: apply them, test one."""

import logging
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.artifacts.markdown_format import sentence
from flows.deploy.apply import apply_connectors, summarize
from tasks.errors import AlertsError, NotDeployed
from tasks.http.check import Check, passed
from tasks.ingest.connector_source import refuse_other_tenant
from tasks.sanitize import plain
from tasks.saved_connectors import load_connector, test_connector

log = logging.getLogger("attachment_alerts.connectors")
log.setLevel(logging.INFO)  # Prefect shows the lines of extra loggers from their own level on


@flow(name="connectors-apply", flow_run_name="apply connectors")
def connectors_apply() -> State[Any]:
    """Make, change and remove the deployments that poll the saved connectors, so that they fit them.

    Run it after a connector was saved, changed or removed in the UI. A second time it changes nothing. Polling is
    switched on by itself once the connection test has passed; after that the switch of the schedule is left alone.
    """
    try:
        done, unusable = apply_connectors()
    except AlertsError as error:
        return Failed(message=str(error))
    return Completed(message=" ".join([summarize(done), *unusable.values()]), data=[poll._asdict() for poll in done])


LEVELS = {"ok": logging.INFO, "warning": logging.WARNING, "failed": logging.ERROR, "skipped": logging.INFO}


@task(task_run_name="ask {connector}", cache_policy=NO_CACHE)
def check(connector: str) -> list[Check]:
    """The checks in their order, also as a table on the page of the run; a test that passes is remembered."""
    refuse_other_tenant(connector, load_connector(connector))
    checks = test_connector(connector)[0]
    rows = [check_row(each) for each in checks]
    create_table_artifact(rows, key=f"test-{connector}", description=f"Connection test of {connector}")
    for each in checks:
        log.log(LEVELS[each.state], "%s: %s", each.name, plain(f"{each.says} {each.next_step or ''}".strip(), 1000))
    return checks


def check_row(check: Check) -> dict[str, str]:
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
        return Failed(message=_failure_message(checks))
    return Completed(message=f"A poll of {connector} works.{_apply_after_test(connector)}")


def _apply_after_test(connector: str) -> str:
    """Let the schedule follow at once; what that came to, for the state of the run."""
    try:
        news = [poll for poll in apply_connectors().polls if poll.connector == connector and poll.done != "unchanged"]
    except NotDeployed:  # run by hand, on a server that knows no deployments: there is nothing to switch
        return ""
    except AlertsError as error:  # the test has passed all the same
        return f" {error}"
    return "".join(f" {poll.deployment} {poll.done}." for poll in news)


def _failure_message(checks: list[Check]) -> str:
    wrong = next((check for check in checks if check.state == "failed"), None)
    if wrong is None:
        return "Not everything could be tested."
    return f"{wrong.name}: {wrong.says} {wrong.next_step or ''}".strip()
