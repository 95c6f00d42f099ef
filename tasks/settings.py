"""Settings of a site: environment variables `ATTACHMENT_ALERTS_…`, typed, with the defaults of a small site."""

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import SettingsError
from tasks.field_errors import error_message

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULTS = CHECKOUT / "data"


PREFIX = "ATTACHMENT_ALERTS_"
REMOVED_SETTINGS = (
    "NOTIFY_PER_HOUR",
    "RETENTION_REJECT_DAYS",
    "RETENTION_WINDOW_DAYS",
    "RETENTION_NOTICE_DAYS",
    "RETENTION_GONE_DAYS",
)
"""Settings of earlier versions. One that is still set is refused, because it would be ignored without notice."""


GroupBy = Literal["hash", "hash+priority", "hash+response", "hash+priority+response"]
"""What alerts must have in common to form a group."""


class Settings(BaseSettings):
    """All settings; the table in data/README.md is generated from their descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    home: Path = Field(
        default=DEFAULTS,
        description="folder of both database files, the locks and the site's own versions of the CSV files",
    )
    overlap_minutes: int = Field(
        default=60, ge=0, le=1440, description="minutes before the watermark that each poll reads again"
    )
    settle_seconds: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="seconds before now at which every window ends, because newer records may still be arriving",
    )
    recheck_hours: int = Field(
        default=72,
        ge=0,
        le=720,
        description="hours that are read again once a day, to pick up later changes; 0 disables this",
    )
    slice_hours: int = Field(
        default=24, ge=1, le=168, description="maximum length of a slice, which is fetched and committed as a unit"
    )
    fetch_concurrency: int = Field(
        default=4, ge=1, le=16, description="number of slices of one account that are fetched in parallel"
    )
    group_by: GroupBy = Field(default="hash", description="what alerts of a tenant must have in common to form a group")
    group_gap_hours: int = Field(
        default=24, ge=0, description="longest gap between two consecutive alerts of a group; 0: no limit"
    )
    group_span_hours: int = Field(
        default=168, ge=0, description="longest time between the first and the last alert of a group; 0: no limit"
    )
    keep_low: Literal["none", "full"] = Field(
        default="none",
        description="`full` also stores subject, details and raw record of scans that raise no alert",
    )
    readers_group: str | None = Field(
        default=None, description="system group that may read alerts.duckdb; if not set, only the owner may"
    )
    domain_aliases: str = Field(
        default="",
        description="domains to be treated as another domain: `old.example=new.example, …`",
    )
    plus_addressing: bool = Field(
        default=True,
        description="whether mail to `user+tag@` is delivered to `user@`, the default of Exchange Online",
    )
    directory_max_gone_percent: int = Field(
        default=20,
        ge=0,
        le=100,
        description="an import that would mark a larger share of a source's people as gone must be confirmed",
    )
    drop_keep_days: int = Field(
        default=7, ge=0, description="days that files are kept in the drop folder after their import"
    )
    ansi_code_page: str = Field(
        default="cp1252",
        description="encoding of exports that are neither UTF-8 nor UTF-16: the code page of that Windows system",
    )
    notify: str = Field(
        default="",
        description="Prefect notification blocks that receive messages: `slack-webhook/security, …`; "
        "if not set, nothing is sent",
    )
    remind_hours: int = Field(
        default=4,
        ge=0,
        description="hours after which one reminder is sent for a high-priority group nobody has triaged; 0 disables",
    )
    retention_low_raw_days: int = Field(
        default=30,
        ge=0,
        description="days that raw records of scans without an alert are kept, if stored at all; 0: forever",
    )
    retention_alert_raw_days: int = Field(
        default=180, ge=0, description="days that raw records of alerts are kept; 0: forever"
    )
    retention_low_days: int = Field(
        default=180, ge=0, description="days that scans without an alert are kept; 0: forever"
    )
    retention_closed_days: int = Field(
        default=730,
        ge=0,
        description="days that a closed group is kept after its last decision; open groups are always kept; 0: forever",
    )
    time_zone: str = Field(default="UTC", description="time zone for times shown in the terminal")

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as cause:
            raise ValueError(f"unknown time zone {value!r}; use a name such as Europe/Berlin") from cause
        return value

    @field_validator("domain_aliases")
    @classmethod
    def _pairs(cls, value: str) -> str:
        _domain_pairs(value)
        return value

    @cached_property
    def domain_alias_map(self) -> dict[str, str]:
        """Alias domain → the domain it stands for, lower case."""
        return _domain_pairs(self.domain_aliases)

    @cached_property
    def overlap(self) -> timedelta:
        return timedelta(minutes=self.overlap_minutes)

    @cached_property
    def settle(self) -> timedelta:
        return timedelta(seconds=self.settle_seconds)

    @cached_property
    def recheck(self) -> timedelta:
        return timedelta(hours=self.recheck_hours)

    @cached_property
    def slice_length(self) -> timedelta:
        return timedelta(hours=self.slice_hours)

    def data_file(self, name: str) -> Path:
        """The file `name` of the site's home if it has one, else the default of the checkout."""
        own = self.home / name
        return own if own.exists() else DEFAULTS / name


def _domain_pairs(text: str) -> dict[str, str]:
    pairs = [part.split("=") for part in text.lower().split(",") if part.strip()]
    if any(len(pair) != PAIR or not all(name.strip() for name in pair) for pair in pairs):
        raise ValueError("must be pairs such as old.example=new.example, separated by commas")
    return {alias.strip(): domain.strip() for alias, domain in pairs}


PAIR = 2


def load_settings(home: Path | None = None) -> Settings:
    """Settings from the environment; `home` from the command line takes precedence. Raises SettingsError."""
    for name in REMOVED_SETTINGS:
        if PREFIX + name in os.environ:
            raise SettingsError(f"The setting {PREFIX}{name} no longer exists. Unset it.")
    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"Invalid setting {name}: {error_message(first)}. Correct it and try again.") from None
