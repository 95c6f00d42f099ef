"""Poll and backfill of a Mimecast account."""

from datetime import datetime
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.runs import pull_flow
from tasks.formatting import format_period
from tasks.window import whole_second


def _backfill_run_name() -> str:
    parameters = flow_run.get_parameters()
    start, end = (whole_second(datetime.fromisoformat(str(parameters[edge]))) for edge in ("start", "end"))
    again = ", everything again" if parameters["what"] == "everything" else ""
    return f"{parameters['connector']} backfill {format_period(start, end)}{again}"


@flow(name="mimecast", flow_run_name="{connector} poll")
def mimecast(connector: str) -> State[Any]:
    """Fetch the new attachment scans of one Mimecast account, turn them into alerts, publish the tables.

    Catches up after an outage; a slice that failed is fetched again by the next poll. Once a day the last 72 hours are
    read again, because verdicts, releases and late records arrive later. The run's page shows the counts and the new
    and changed alert groups.

    Args:
        connector: Name of the saved connector of the account.
    """
    return pull_flow.poll(connector)


@flow(name="mimecast-backfill", flow_run_name=_backfill_run_name)
def mimecast_backfill(
    connector: str, start: datetime, end: datetime, what: Literal["missing", "everything"] = "missing"
) -> State[Any]:
    """Fetch the attachment scans of a period of one Mimecast account, for the first time or again.

    It can be cancelled at any time: complete slices are kept, and a run with the same times continues where it ended.
    A poll of the same account takes precedence. The run's page shows the progress.

    Args:
        connector: Name of the saved connector of the account.
        start: Start of the period; without a time zone it is UTC.
        end: End of the period, not included. The newest minute is left to the polls.
        what: missing fetches only what is not in the tables yet; everything fetches all of it again, for example
            after a change to priorities.csv.
    """
    return pull_flow.backfill(connector, start, end, what)
