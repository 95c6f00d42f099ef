"""Apply the current program and rules to what is stored."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import run_maintenance
from flows.runs.replay_run import replay_store
from tasks.maintenance.replay import What


@flow(name="replay", flow_run_name="replay")
def replay(what: list[What] | None = None, apply: bool = False) -> State[Any]:
    """Show what the current program and rules would change in what is stored, or make the change.

    Args:
        what: `rejects` validates rejected records again; `priorities` and `responses` apply the maps of those names to
            stored scans. Empty: all of them.
        apply: Make the change, in one transaction. Without it, nothing is changed.
    """
    verb = "changed" if apply else "would change"
    return run_maintenance(
        lambda store: replay_store(store, what, apply=apply),
        lambda n: f"{n['scans_changed']} scans {verb}; {n['rejects_accepted']} rejects are accepted.",
        apply=apply,
    )
