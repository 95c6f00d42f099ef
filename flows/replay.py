"""Apply the current program and maps to stored scans and rejects."""

from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import replay_summary, run_change
from tasks.maintenance.replay import What
from tasks.maintenance.replay_rules import replay_store


@flow(name="replay", flow_run_name="replay")
def replay(what: list[What] | None = None, apply: bool = False) -> State[Any]:
    """Show what the current program and maps would change in stored scans and rejects, or change it.

    Args:
        what: `rejects` validates rejected records again; `priorities` and `responses` apply the maps of those names to
            stored scans. Empty: all of them.
        apply: Make the change, in one transaction. Without it, nothing is changed.
    """
    return run_change(partial(replay_store, what=what, apply=apply), replay_summary)
