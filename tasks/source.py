"""A connector as the store sees it."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID


class Source(NamedTuple):
    """What the store needs of a saved connector."""

    connector_id: UUID
    name: str
    product: str
    tenant: str
    polling_minutes: int
    detection_details_url: str
    key_expires_at: datetime | None
    first_look_back: timedelta
    polling: bool | None = None
    """whether its schedule is switched on; None: not checked, so what is stored stays"""
    no_verdict: Literal["medium", "low"] | None = None
    """priority of its scans without a verdict; None: its product delivers no scans"""
