"""Validates the names of connectors."""

import re
from functools import cache

import yaml

from tasks.errors import ConnectorRefused
from tasks.sanitize import plain
from tasks.settings import CHECKOUT

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def check_name(name: str) -> None:
    """Raises ConnectorRefused for a name that Prefect rejects, or that a deployment of prefect.yaml has."""
    if not NAME.fullmatch(name):
        raise ConnectorRefused(
            f"Invalid connector name '{plain(name)}'. Use lower-case letters, digits and single dashes."
        )
    if name in _reserved():
        raise ConnectorRefused(f"{name!r} is the name of a deployment in prefect.yaml. Choose another name.")


@cache
def _reserved() -> frozenset[str]:
    declared = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    return frozenset(deployment["name"] for deployment in declared)
