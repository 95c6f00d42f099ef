"""This project's settings of Prefect, from `[tool.prefect]` in pyproject.toml, whatever the working directory.

Apply them before Prefect is imported. The environment has precedence, as in Prefect itself.
"""

import os
import tomllib
from collections.abc import Iterator
from typing import Any

from tasks.settings import CHECKOUT


def apply() -> None:
    """Set each value as `PREFECT_…` in the environment unless it is set already."""
    table = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["prefect"]
    for name, value in _flat(table):
        os.environ.setdefault(f"PREFECT_{name}", str(value).lower() if isinstance(value, bool) else str(value))
    os.environ.setdefault("DO_NOT_TRACK", "1")  # no telemetry from Prefect's code in this process either


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key.upper()}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}_")
        else:
            yield name, value
