"""Poll and backfill of a Mimecast account, started by the name under which its connector is saved."""

from datetime import datetime
from typing import Any, Literal, cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows import pull
from tasks.mimecast.stages import Stages
from tasks.window import whole_second

# Three stages for each of at most 16 slices. The cast: Prefect's own runner does not fit its own type.
RUNNER = cast(Any, ThreadPoolTaskRunner(max_workers=48))


def _name_of_backfill() -> str:
    given = flow_run.get_parameters()
    start, end = (whole_second(datetime.fromisoformat(str(given[edge]))) for edge in ("start", "end"))
    return f"{given['connector']} backfill {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


@flow(name="mimecast", flow_run_name="{connector} poll", task_runner=RUNNER)
def mimecast(connector: str) -> State[Any]:
    """Poll one Mimecast account: fetch what is new since the last poll, turn it into alerts, publish the tables.

    Catches up by itself after an outage; a slice that failed is fetched again by the next poll. Once a day the last
    72 hours are read again, because verdicts, releases and late records come later.

    Args:
        connector: Name of a saved Mimecast connector (see `attachment-alerts connectors list`).
    """
    return pull.poll(connector, Stages)


@flow(name="mimecast-backfill", flow_run_name=_name_of_backfill, task_runner=RUNNER)
def mimecast_backfill(
    connector: str, start: datetime, end: datetime, what: Literal["missing", "everything"] = "missing"
) -> State[Any]:
    """Fetch a stretch of time of one Mimecast account again or for the first time.

    Can be stopped at any time and started again: complete slices stay, `missing` goes on where it ended.

    Args:
        connector: Name of a saved Mimecast connector (see `attachment-alerts connectors list`).
        start: Begin of the time to fetch. A time without a zone is UTC.
        end: End of the time to fetch. The newest minute is left to the polls.
        what: `missing` fetches only what is not in the tables yet; `everything` reads all of it again.
    """
    return pull.backfill(connector, Stages, start, end, what)


poll, backfill = mimecast, mimecast_backfill
