"""Settings of a site: environment variables `ATTACHMENT_ALERTS_…`, typed, with the defaults of a small site."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import SettingsError
from tasks.field_errors import says

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULTS = CHECKOUT / "data"


class Settings(BaseSettings):
    """All settings; each field's description is the README's table."""

    model_config = SettingsConfigDict(env_prefix="ATTACHMENT_ALERTS_", frozen=True, extra="ignore")

    home: Path = Field(
        default=DEFAULTS,
        description="folder of both database files, the locks and overrides of the CSV defaults",
    )
    overlap_minutes: int = Field(
        default=60, ge=0, le=1440, description="how far a poll reaches back behind the watermark"
    )
    settle_seconds: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="how close to now a window may end; younger rows may still be on their way",
    )
    recheck_hours: int = Field(
        default=72,
        ge=0,
        le=720,
        description="once a day the last so many hours are read again; 0 switches it off",
    )
    slice_hours: int = Field(
        default=24, ge=1, le=168, description="longest stretch of time that is one slice, one transaction"
    )
    fetch_concurrency: int = Field(
        default=4, ge=1, le=16, description="slices of one account that are fetched at the same time"
    )
    group_by: Literal["hash", "hash+priority", "hash+response", "hash+priority+response"] = Field(
        default="hash", description="what alerts must share, beside the tenant, to be one group"
    )
    group_gap_hours: int = Field(
        default=24, ge=0, description="an alert this long after its predecessor still joins; 0: no limit"
    )
    group_span_hours: int = Field(
        default=168, ge=0, description="an alert this long after the group's first still joins; 0: no limit"
    )
    keep_low: Literal["none", "full"] = Field(
        default="none",
        description="`full` keeps subject, details and raw record of scans that raise no alert",
    )
    readers_group: str | None = Field(
        default=None, description="system group that may read alerts.duckdb; without it only the owner can"
    )
    domain_aliases: str = Field(
        default="",
        description="domains whose addresses stand for those of another: `old.example=new.example, …`",
    )
    plus_addressing: bool = Field(
        default=True,
        description="whether `user+tag@` reaches `user@`, as it does in Exchange Online unless switched off",
    )
    directory_max_gone_percent: int = Field(
        default=20,
        ge=0,
        le=100,
        description="an import that would mark more of a source's people as gone is refused unless confirmed",
    )
    drop_keep_days: int = Field(
        default=7, ge=0, description="days after which files that were imported from the drop folder are removed"
    )
    ansi_code_page: str = Field(
        default="cp1252",
        description="encoding of exports that are neither UTF-8 nor UTF-16: that of the exporting Windows",
    )
    notify: str = Field(
        default="",
        description="where messages go: saved notification blocks of Prefect, `slack-webhook/security, …`; "
        "none: nowhere",
    )
    notify_per_hour: int = Field(
        default=20, ge=0, description="messages about single groups in an hour; what goes beyond is one digest"
    )
    remind_hours: int = Field(
        default=4, ge=0, description="a high group that is still new after so many hours is reminded of once; 0: never"
    )
    retention_low_raw_days: int = Field(
        default=30, ge=0, description="days that the raw record of a scan without alert is kept, if at all; 0: for ever"
    )
    retention_alert_raw_days: int = Field(
        default=180, ge=0, description="days that the raw record of an alert is kept; 0: for ever"
    )
    retention_low_days: int = Field(
        default=180, ge=0, description="days that scans without alert are kept; 0: for ever"
    )
    retention_reject_days: int = Field(
        default=90, ge=0, description="days that rejects are kept after they were last seen; 0: for ever"
    )
    retention_window_days: int = Field(
        default=400, ge=0, description="days that attempted slices are kept; coverage always is; 0: for ever"
    )
    retention_notice_days: int = Field(
        default=90, ge=0, description="days that it is known of a change that people were told of it; 0: for ever"
    )
    retention_closed_days: int = Field(
        default=730,
        ge=0,
        description="days that a closed group is kept after its last decision; open ones always are; 0: for ever",
    )
    retention_gone_days: int = Field(
        default=90,
        ge=0,
        description="days that people and devices who are gone are kept, if no stored alert concerns them; 0: for ever",
    )
    time_zone: str = Field(default="UTC", description="time zone in which the terminal shows times")

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
            raise ValueError(f"{value!r} is no time zone; use a name such as Europe/Berlin") from cause
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
        """The site's own `name` if its home has one, else the default that comes with the checkout."""
        own = self.home / name
        return own if own.exists() else DEFAULTS / name


def _domain_pairs(text: str) -> dict[str, str]:
    pairs = [part.split("=") for part in text.lower().split(",") if part.strip()]
    if any(len(pair) != PAIR or not all(name.strip() for name in pair) for pair in pairs):
        raise ValueError("write it as old.example=new.example, further pairs after commas")
    return {alias.strip(): domain.strip() for alias, domain in pairs}


PAIR = 2


def load_settings(home: Path | None = None) -> Settings:
    """Settings of the environment, `home` given on the command line winning.

    Raises SettingsError with the variable's name and what it may be.
    """
    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "ATTACHMENT_ALERTS_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"The setting {name} is not usable: {says(first)}. Correct it and try again.") from None
