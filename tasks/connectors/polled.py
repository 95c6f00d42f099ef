"""The base class of connectors that are polled for scans."""

from datetime import timedelta
from string import Formatter
from typing import Literal

from pydantic import Field, field_validator

from tasks.connectors.base import Connector

LINK_PLACEHOLDERS = ("message_id", "file_sha256", "date")


class PolledConnector(Connector):
    """Adds the polling interval, the first look-back and the links of alerts."""

    polling_minutes: Literal[5, 10, 15, 30, 60] = Field(
        default=15, title="Polling frequency (minutes)", description="How often new records are fetched."
    )
    first_look_back_days: int = Field(
        default=7,
        ge=1,
        le=60,
        title="First look-back (days)",
        description="How far back the very first poll goes. Older records are fetched by a backfill.",
    )
    no_verdict: Literal["medium", "low"] = Field(
        default="medium",
        title="Priority of scans without a verdict",
        description="Scans that timed out, failed or have none: medium shows them as alerts, low only counts them.",
    )
    detection_details_url: str = Field(
        default="",
        title="Link to detection details",
        description="Web address behind an alert, for example https://siem.example/{file_sha256}; {message_id}, "
        "{file_sha256} and {date} are filled in. Empty: the product's own console.",
    )

    @field_validator("detection_details_url")
    @classmethod
    def _link(cls, template: str) -> str:
        if template and not template.startswith(("https://", "http://")):
            raise ValueError("must begin with https://")
        try:
            parts = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        except ValueError as wrong:
            raise ValueError("contains a single { or }; write {{ or }}") from wrong
        if any(name not in LINK_PLACEHOLDERS or spec or conversion for name, spec, conversion in parts):
            raise ValueError("may contain only {message_id}, {file_sha256} and {date} in braces")
        return template

    @property
    def every(self) -> timedelta:
        return timedelta(minutes=self.polling_minutes)

    @property
    def first_look_back(self) -> timedelta:
        return timedelta(days=self.first_look_back_days)

    @property
    def link_template(self) -> str:
        return self.detection_details_url or super().link_template
