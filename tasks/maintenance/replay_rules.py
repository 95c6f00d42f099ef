"""The rules that a replay applies: this version's, with the settings of each connector as the store has them.

No saved form is read, so a replay needs neither Prefect nor a server.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

import polars as pl

from tasks.errors import SettingsError
from tasks.ingest.batches import Revalidated
from tasks.maintenance.remap import CurrentRules
from tasks.maintenance.replay import WHAT, ReplayOptions, What, run_replay
from tasks.priority import Maps, load_maps
from tasks.products import get_product
from tasks.store.store import Store

CONNECTORS = """
    SELECT connector_id::VARCHAR, product, CASE WHEN removed_at IS NULL THEN no_verdict END FROM internal.connectors
"""


class ConnectorSettings(NamedTuple):
    """What a replay needs to know about a connector that ever ran here."""

    product: str
    no_verdict: Literal["medium", "low"] | None
    """None: removed, or not polled or applied since the store has this column"""


def replay_store(store: Store, what: list[What] | None, *, apply: bool) -> dict[str, Any]:
    """Plan the changes of a replay and, with `apply`, make them; `what`: everything if empty."""
    return run_replay(store, replay_options(store, frozenset(what or WHAT)), apply=apply)


def replay_options(store: Store, what: frozenset[What]) -> ReplayOptions:
    """The rules for each connector by its ID."""
    settings, now = store.settings, datetime.now(UTC)
    with store.snapshot() as database:
        connectors = {row[0]: ConnectorSettings(*row[1:]) for row in database.rows(CONNECTORS)}
    maps_of = cache(lambda no_verdict: load_maps(settings, no_verdict))
    maps = frozenset(name for name in what if name != "rejects")

    def maps_for(connector: ConnectorSettings) -> Maps:
        return maps_of(connector.no_verdict or "medium")

    def rules_of(connector_id: str) -> CurrentRules:
        connector = connectors[connector_id]
        return CurrentRules(maps_for(connector), maps, connector.no_verdict is not None)

    def revalidate_rejects(connector_id: str, rejects: pl.DataFrame) -> Revalidated:
        connector = connectors[connector_id]
        revalidate = get_product(connector.product).revalidate
        if revalidate is None:
            raise SettingsError(
                f"A connector of {connector.product}, a product without scans, has rejects. Remove its data with "
                "`attachment-alerts connectors remove --purge`."
            )
        keep_low = settings.keep_low == "full"
        return revalidate(rejects, UUID(connector_id), maps_for(connector), now, keep_low=keep_low)

    return ReplayOptions(what, rules_of, revalidate_rejects)
