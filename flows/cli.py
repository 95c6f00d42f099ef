"""The command `attachment-alerts`: thin; every command calls a flow or a query."""

import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from flows.lazy import Group
from flows.options import Home, Json, Name, example
from flows.terminal import err, fail, out, print_json, say
from flows.typed import moment_of, since_of
from tasks.errors import AlertsError
from tasks.settings import load_settings

TRACEBACK = "ATTACHMENT_ALERTS_TRACEBACK"

app = typer.Typer(
    name="attachment-alerts",
    cls=Group,
    help="Mimecast attachment scans become grouped, prioritised alerts in DuckDB.",
    epilog=example("demo", "alerts --priority high"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and keys are among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
