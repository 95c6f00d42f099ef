"""The result of a connection test: its steps, the account, and whether a poll would work."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Account:
    """The account as the service reports it; None where the keys may not read it."""

    code: str | None = None
    name: str | None = None
    region: str | None = None
    packages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Check:
    """One step of a connection test."""

    name: str
    state: Literal["ok", "warning", "failed", "skipped"]
    says: str
    next_step: str | None = None


def passed(checks: list[Check]) -> bool:
    """Whether a poll would work."""
    return bool(checks) and all(check.state in ("ok", "warning") for check in checks)
