"""The present code and maps over what is stored."""

from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl
from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs.maintenance_run import run_maintenance
from tasks.connectors.polled import PolledConnector
from tasks.errors import SettingsError
from tasks.ingest.batches import Revalidated
from tasks.maintenance.remap import Reading
from tasks.maintenance.replay import WHAT, Means, What, replayed
from tasks.priority import load_maps
from tasks.products import product_named
from tasks.saved_connectors import list_connectors
from tasks.store.store import Store


@flow(name="replay", flow_run_name="replay")
def replay(what: list[What] | None = None, apply: bool = False) -> State[Any]:
    """Show what the present code and maps would make of what is stored, or make it so.

    Args:
        what: `rejects` reads rejected records again; `priorities` and `responses` apply the maps of those names to
            stored scans. Empty: all of them.
        apply: Change what is stored, in one transaction. Without it nothing is changed.
    """
    verb = "changed" if apply else "would change"
    return run_maintenance(
        lambda store: replay_now(store, what, apply=apply),
        lambda n: f"{n['scans_changed']} scans {verb}; {n['rejects_accepted']} rejects are accepted.",
        apply=apply,
    )


class Known(NamedTuple):
    """What is known of a connector that once brought something."""

    product: str
    no_verdict: Any
    saved: bool


def replay_now(store: Store, what: list[What] | None, *, apply: bool) -> dict[str, Any]:
    """Plan, and carry it out if asked for."""
    settings, now = store.settings, datetime.now(UTC)
    chosen = frozenset(what or WHAT)
    known = _known(store)
    maps = cache(lambda no_verdict: load_maps(settings, no_verdict))

    def reading_of(connector_id: str) -> Reading:
        connector = known[connector_id]
        applied = frozenset(each for each in chosen if each != "rejects")
        return Reading(maps(connector.no_verdict), applied, connector.saved)

    def read_again(connector_id: str, rejects: pl.DataFrame) -> Revalidated:
        connector = known[connector_id]
        revalidate = product_named(connector.product).revalidate
        if revalidate is None:
            raise SettingsError(f"Connectors of {connector.product} bring no scans, yet there are rejects of one.")
        return revalidate(
            rejects, UUID(connector_id), maps(connector.no_verdict), now, keep_low=settings.keep_low == "full"
        )

    return replayed(store, Means(chosen, reading_of, read_again), apply=apply)


def _known(store: Store) -> dict[str, Known]:
    """Every connector that ever ran here, by id, with its choice for scans without a verdict if it is saved."""
    choices = {
        str(each.connector_id): each.no_verdict
        for each in list_connectors().values()
        if isinstance(each, PolledConnector)
    }
    with store.snapshot() as database:
        ran = database.rows("SELECT connector_id::VARCHAR, product FROM internal.connectors")
    return {
        connector_id: Known(product, choices.get(connector_id, "medium"), connector_id in choices)
        for connector_id, product in ran
    }
