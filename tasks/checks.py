"""The connection test of any product: its checks, the account that it finds, and whether a poll would work."""

import importlib
from dataclasses import dataclass
from typing import Literal

from tasks.connector import Connector


@dataclass(frozen=True)
class Account:
    """What the service tells about the account; None where the keys may not ask for it."""

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


def check_connector(connector: Connector) -> tuple[list[Check], Account | None]:
    """The connection test of the connector's product; see `run_checks` in the product's room."""
    module = importlib.import_module(f"tasks.{connector.product}.check")
    checks: list[Check]
    checks, account = module.run_checks(connector)
    return checks, account


def passed(checks: list[Check]) -> bool:
    """Whether a poll would work."""
    return bool(checks) and all(check.state in ("ok", "warning") for check in checks)
