"""Runs about saved connectors: apply all of them, test one."""

import logging
from typing import Any

from prefect import task
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
log.setLevel(logging.INFO)  # Prefect takes the level of an extra logger from the logger itself

LEVELS = {"ok": logging.INFO, "warning": logging.WARNING, "failed": logging.ERROR, "skipped": logging.INFO}


def run_apply() -> State[Any]:
    """Apply the saved connectors; the final state names what has changed."""
    try:
        polls, unusable = apply_connectors()
    except AlertsError as error:
        return Failed(message=str(error))
    return Completed(message=" ".join([summarize(polls), *unusable.values()]), data=[poll._asdict() for poll in polls])


def run_connection_test(name: str) -> State[Any]:
    """Test a saved connector; if the test passes, apply the connectors, which starts its polls."""
    try:
        checks = check(name)
    except AlertsError as error:
        return Failed(message=str(error))
    if not passed(checks):
        return Failed(message=_failure_message(checks))
    return Completed(message=f"A poll of {name} works.{_apply_after_test(name)}")


@task(task_run_name="test {connector}", cache_policy=NO_CACHE)
def check(connector: str) -> list[Check]:
    """Run the connection test, log its checks and show them as a table on the page of the run."""
    refuse_other_tenant(connector, load_connector(connector))
    checks = test_connector(connector)[0]
    rows = [check_row(result) for result in checks]
    create_table_artifact(rows, key=f"test-{connector}", description=f"Connection test of {connector}")
    for result in checks:
        text = plain(f"{result.says} {result.next_step or ''}".strip(), 1000)
        log.log(LEVELS[result.state], "%s: %s", result.name, text)
    return checks


def check_row(check: Check) -> dict[str, str]:
    """One row of the table, the column that a reader needs first.

    Escaped, since the UI shows cells as Markdown and a result may quote the service.
    """
    state = "not tested" if check.state == "skipped" else check.state
    result, next_step = sentence(check.says), sentence(check.next_step or "")
    return {"what to do": next_step, "check": check.name, "state": state, "what was found": result}


def _apply_after_test(connector: str) -> str:
    """Switch the schedule on at once; the result, for the state message."""
    try:
        polls = apply_connectors().polls
    except NotDeployed:  # started by hand on a server without deployments
        return ""
    except AlertsError as error:  # the test itself has passed
        return f" {error}"
    return "".join(
        f" {poll.deployment} {poll.done}." for poll in polls if poll.connector == connector and poll.done != "unchanged"
    )


def _failure_message(checks: list[Check]) -> str:
    failed = next((check for check in checks if check.state == "failed"), None)
    if failed is None:
        return "Some checks were skipped. The table on this run's page gives the reasons."
    return f"{failed.name}: {failed.says} {failed.next_step or ''}".strip()
