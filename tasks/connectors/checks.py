"""The connection test of any product: its checks, the account that it finds, and whether a poll would work."""

import importlib

from tasks.connectors.base import Connector
from tasks.http.check import Account, Check


def check_connector(connector: Connector) -> tuple[list[Check], Account | None]:
    """The connection test of the connector's product; see `run_checks` in the product's room."""
    module = importlib.import_module(f"tasks.{connector.product}.check")
    checks: list[Check]
    checks, account = module.run_checks(connector)
    return checks, account
