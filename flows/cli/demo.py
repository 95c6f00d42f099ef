"""The command `demo`: polls the recorded sample account with the real flow, in a home of its own."""

# ruff: noqa: PLC0415 - the Prefect server starts first; what takes seconds to import is imported meanwhile

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.text import Text

from flows.console.invocation import relative_to_cwd, shell_command, shell_program
from flows.console.terminal import out, show_log, show_progress
from flows.server import prefect_session
from tasks.errors import AlertsError, OperatorError
from tasks.private_files import open_private, restrict_to_owner
from tasks.settings import DEFAULTS, Settings, load_settings

if TYPE_CHECKING:
    from tasks.directory.imports.file_report import FileReport
    from tasks.store.store import Store

NAME = "demo"
OWN_HOME = DEFAULTS / "demo-home"
EXPORTS = DEFAULTS / "demo"


def run_demo(home: Path | None) -> None:
    """Import sample directory exports, poll the sample account, then show the groups. Raises AlertsError."""
    home = (home or OWN_HOME).expanduser().absolute()
    _check_home(home)
    _isolate(home)
    settings = load_settings()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "prefect").mkdir(exist_ok=True, mode=0o700)
    restrict_to_owner(home / "prefect")  # its database holds the saved connector
    end = account_end(home)
    with show_progress("Starting a Prefect server for the demo") as change:
        server = prefect_session.start_temporary(home / "prefect")
        change("Importing people and devices while the Prefect server starts (10 to 25 s)")
        files = _import_directory()
        prefect_session.use(server)
        server.wait_until_ready()
        counts = _poll(end, change)
    _show(settings, counts, files)


def _check_home(home: Path) -> None:
    from tasks.store.factory import open_store

    if open_store(Settings(home=home)).exists() and not (home / "demo.json").exists():
        raise OperatorError(f"{home} contains data that is not the demo's. Choose an empty folder with --home.")


def _isolate(home: Path) -> None:
    """Use nothing of the site's Prefect: neither its server nor its profile nor its database."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ |= {"PREFECT_HOME": str(home / "prefect"), "ATTACHMENT_ALERTS_HOME": str(home)}
    prefect_session.configure()


def account_end(home: Path) -> datetime:
    """End of the account's history, saved by the first run so that later ones find the same records."""
    from tasks.store.factory import open_store

    file = home / "demo.json"
    if file.exists() and open_store(Settings(home=home)).exists():
        return datetime.fromisoformat(json.loads(file.read_text(encoding="utf-8"))["anchor"])
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with open_private(file, "wb") as fresh:
        fresh.write(json.dumps({"anchor": end.isoformat()}).encode() + b"\n")
    return end


def _import_directory() -> "list[FileReport]":
    """Import directory exports of the company that receives the sample account's mail."""
    from tasks.directory.imports.import_files import import_files

    report = import_files([str(EXPORTS)], "default", confirm_gone=False)
    if report.error:
        raise AlertsError(report.error)
    return report.files


def _poll(account_end: datetime, change: Callable[[str], None]) -> dict[str, Any]:
    from flows.mimecast import mimecast as poll
    from tasks.mimecast.demo_account import DemoAccount, serve_in_background

    show_log()
    with serve_in_background(DemoAccount(account_end)) as url:
        change("Saving the connector of the sample account")
        _save_connector(url)
        change("Polling the sample account")
        state = poll(NAME, return_state=True)
        if state.is_cancelled():
            raise KeyboardInterrupt
        counts = state.result(raise_on_failure=False)
    if isinstance(counts, BaseException):
        raise counts
    if not state.is_completed():
        raise AlertsError(str(state.message))
    return dict(counts)


def _save_connector(url: str) -> None:
    """Save the connector; the one of an earlier run gets the present address of the account."""
    from tasks.connectors.base import build_connector
    from tasks.mimecast.connector import MimecastConnector
    from tasks.mimecast.demo_account import KEYS
    from tasks.saved_connectors import load_connector, save_connector, saved_names

    if NAME in saved_names():
        connector = load_connector(NAME).model_copy(update={"base_url": url})
    else:
        connector = build_connector(MimecastConnector, {"base_url": url, "allow_other_host": True} | KEYS)
    save_connector(NAME, connector)


def _show(settings: Settings, counts: dict[str, Any], files: "list[FileReport]") -> None:
    from flows.cli.run import summary
    from flows.cli.views.directory import show_files
    from flows.cli.views.groups import footer, groups_table
    from flows.console.tables import heading
    from tasks.queries import lookups
    from tasks.store.factory import open_store

    store, zone = open_store(settings), ZoneInfo(settings.time_zone)
    groups, totals = lookups.groups(store), lookups.totals(store)
    note = "" if counts["new"] or counts["changed"] else "nothing new since the last run"
    out.print(heading("The poll", note), summary(counts, totals.groups), sep="\n")
    out.print(heading("The directory", "exports in data/demo"))
    show_files(files)
    # Last, so that the table and what to do with it are what the terminal shows at the end.
    out.print(heading("The alert groups"))
    out.print(groups_table(groups, zone))
    out.print(footer(totals, groups, zone, chosen=False))
    out.print(heading("What to try next"))
    for line in _next_steps(store, max(groups, key=lambda group: int(group["alert_count"]))["group_id"]):
        out.print(Text(f"  {line}"), soft_wrap=True)


def _next_steps(store: "Store", group_id: str) -> list[str]:
    place, published = relative_to_cwd(store.settings.home), relative_to_cwd(Path(store.published_location))
    query = "SELECT priority, description, alert_count FROM alert_groups ORDER BY priority_rank"
    python, command = shell_program("python", Path(sys.executable)), shell_command()
    script = f"import duckdb; print(duckdb.connect('{published}', read_only=True).sql('{query}'))"
    return [
        f"{command} alerts --home {place}  # this table again",
        f"{command} group {group_id[:8]} --home {place}  # one group, with its alerts and recipients",
        f'{python} -c "{script}"  # query the tables',
        f"PREFECT_HOME={place}/prefect {command} serve --home {place}  # the web UI, with the runs of the demo",
        f"{command} connectors add NAME  # connect your own account",
    ]
