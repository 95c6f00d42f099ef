"""Poll and backfill of a Mimecast account, started by the name under which its connector is saved."""

from datetime import datetime
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.runs import pull_flow
from tasks.formatting import format_period
from tasks.window import whole_second


def _name_of_backfill() -> str:
    given = flow_run.get_parameters()
    start, end = (whole_second(datetime.fromisoformat(str(given[edge]))) for edge in ("start", "end"))
    again = ", everything again" if given["what"] == "everything" else ""
    return f"{given['connector']} backfill {format_period(start, end)}{again}"


@flow(name="mimecast", flow_run_name="{connector} poll")
def mimecast(connector: str) -> State[Any]:
    """Fetch the new attachment scans of one Mimecast account, turn them into alerts, publish the tables.

    Catches up by itself after an outage; a slice that failed is fetched again by the next poll. Once a day the last
    72 hours are read again, because verdicts, releases and late records come later. The run's page shows its figures
    and the new and changed alert groups.

    Args:
        connector: Which account: the name under which its connector is saved.
    """
    return pull_flow.poll(connector)


@flow(name="mimecast-backfill", flow_run_name=_name_of_backfill)
def mimecast_backfill(
    connector: str, start: datetime, end: datetime, what: Literal["missing", "everything"] = "missing"
) -> State[Any]:
    """Fetch the attachment scans of a stretch of time of one Mimecast account, again or for the first time.

    Cancel it whenever you like: complete slices stay, and a run with the same times goes on where it ended. A poll of
    the same account goes first. The run's page shows how far it is.

    Args:
        connector: Which account: the name under which its connector is saved.
        start: Begin of the time to fetch. Without a zone it is UTC.
        end: End of the time to fetch, itself not included. The newest minute is left to the polls.
        what: missing fetches only what is not in the tables yet, everything reads all of it again, for example
            after a change of priorities.csv.
    """
    return pull_flow.backfill(connector, start, end, what)
