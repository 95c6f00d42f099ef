"""The flows of each product, by their entrypoints."""

from typing import Any, NamedTuple

from prefect import Flow
from prefect.flows import load_flow_from_entrypoint


class ProductFlows(NamedTuple):
    """Entrypoints of the flows of one product."""

    poll: str
    backfill: str | None = None


FLOWS = {
    "entra": ProductFlows("flows.entra.entra"),
    "mimecast": ProductFlows("flows.mimecast.mimecast", "flows.mimecast.mimecast_backfill"),
}


def poll_flow(product: str) -> Flow[Any, Any]:
    """The flow that polls a connector of this product."""
    return load_flow_from_entrypoint(FLOWS[product].poll)


def backfill_flow(product: str) -> Flow[Any, Any] | None:
    """The flow that fetches a window of past time; None for a product without backfills."""
    entrypoint = FLOWS[product].backfill
    return load_flow_from_entrypoint(entrypoint) if entrypoint else None
