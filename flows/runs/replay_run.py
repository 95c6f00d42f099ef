"""Replay with the rules that the saved connectors have today."""

from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl

from tasks.connectors.polled import PolledConnector
from tasks.errors import SettingsError
from tasks.ingest.batches import Revalidated
from tasks.maintenance.remap import CurrentRules
from tasks.maintenance.replay import WHAT, ReplayOptions, What, run_replay
from tasks.priority import load_maps
from tasks.products import get_product
from tasks.saved_connectors import list_connectors
from tasks.store.store import Store


class Known(NamedTuple):
    """A connector that has loaded something."""

    product: str
    no_verdict: Any
    saved: bool


def replay_store(store: Store, what: list[What] | None, *, apply: bool) -> dict[str, Any]:
    """Replay with the rules of each connector; what changes, as JSON values."""
    settings, now = store.settings, datetime.now(UTC)
    chosen = frozenset(what or WHAT)
    known = _known(store)
    maps = cache(lambda no_verdict: load_maps(settings, no_verdict))

    def rules_of(connector_id: str) -> CurrentRules:
        connector = known[connector_id]
        applied = frozenset(each for each in chosen if each != "rejects")
        return CurrentRules(maps(connector.no_verdict), applied, connector.saved)

    def revalidate_rejects(connector_id: str, rejects: pl.DataFrame) -> Revalidated:
        connector = known[connector_id]
        revalidate = get_product(connector.product).revalidate
        if revalidate is None:
            raise SettingsError(
                f"A connector of {connector.product}, a product without scans, has rejects. Remove its data with "
                "`attachment-alerts connectors remove --purge`."
            )
        return revalidate(
            rejects, UUID(connector_id), maps(connector.no_verdict), now, keep_low=settings.keep_low == "full"
        )

    return run_replay(store, ReplayOptions(chosen, rules_of, revalidate_rejects), apply=apply)


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
