"""The commands `poll` and `backfill`: run the flow in this process, then print its summary."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` should not wait for it

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.cli.views.directory import show_files
from flows.cli.views.health import old_directory
from flows.console.tables import facts
from flows.console.terminal import PRIORITY, out, print_json, print_message, show_progress, shown
from flows.server import prefect_session
from tasks.errors import AlertsError, ConnectorRefused
from tasks.formatting import format_count
from tasks.ingest.run_stats import NOT_STORED
from tasks.queries import lookups
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store


def run(kind: str, name: str, *arguments: Any, as_json: bool = False) -> None:
    """Run the product's flow `poll` or `backfill` and print its summary. Raises AlertsError if it failed."""
    store = open_store(load_settings())
    prefect_session.load(store.settings.home)
    with show_progress("Reading the connector") as change:
        from flows.artifacts.publish import WATCH
        from flows.deploy.product_flows import backfill_flow, poll_flow
        from tasks.saved_connectors import load_connector

        product = load_connector(name).product
        backfill = backfill_flow(product)
        flow: Any = poll_flow(product) if kind == "poll" else backfill
        if flow is None:
            raise ConnectorRefused(f"{name} is a connector of {product}, which has no {kind}. Use `poll {name}`.")
        description = f"{kind.capitalize()} of {name}"
        change(description)
        WATCH.set(lambda done, total: change(f"{description}: {done} of {total} slices, {100 * done // total} %"))
        with _explain_restart(continues=backfill is not None and "everything" not in arguments):
            state = flow(name, *arguments, return_state=True)
            if state.is_cancelled():
                raise KeyboardInterrupt
        result = state.result(raise_on_failure=False)
    counts = getattr(result, "counts", result)  # the exception of a failed run carries them
    if isinstance(counts, BaseException):
        raise counts
    if as_json:
        print_json({"connector": name, "state": state.name, **counts})
    elif "files" in counts:  # a directory's pull
        show_files(counts["files"])
    elif counts["slices"]:
        out.print(summary(counts, groups_of(store)))
    elif state.is_completed() and not counts["skipped"]:
        print_message("Nothing to fetch: everything is already in the tables.")
    if counts.get("skipped"):
        raise AlertsError(f"Skipped: {counts['skipped']}")
    if not state.is_completed():
        raise AlertsError(state.message)


@contextmanager
def _explain_restart(*, continues: bool) -> Iterator[None]:
    """After Ctrl-C, print whether the same command continues or starts again."""
    try:
        yield
    except KeyboardInterrupt:
        print_message(f"The same command {'continues with the rest' if continues else 'starts again'}.")
        raise


def groups_of(store: Store) -> dict[str, int] | None:
    """Number of groups by priority; None if nothing is published."""
    return lookups.totals(store).groups if store.is_published() else None


def summary(counts: dict[str, Any], groups: dict[str, int] | None) -> Table:
    """The counts of a run: received = accepted + rejected; accepted = new + changed + duplicates + expired."""
    detail = (
        f"{counts['new']:,} new · {counts['changed']:,} changed · {format_count(counts['duplicates'], 'duplicate')}"
    )
    if counts["expired"]:
        detail += f" · {counts['expired']:,} {NOT_STORED}"
    rows = [
        ("received", Text(f"{counts['received']:,}").append(f"   in {_slices(counts)}", style="dim")),
        ("accepted", Text(f"{counts['accepted']:,}").append(f"   {detail}", style="dim")),
        ("rejected", Text(f"{counts['rejected']:,}", style="yellow" if counts["rejected"] else "dim")),
        ("hidden as low", Text(f"{counts['low']:,}").append("   duplicates included", style="dim")),
        ("alerts", Text(f"{counts['alerts']:,}").append(f"   {_alert_details(counts)}", style="dim")),
    ]
    for name, title in (("exposures", "exposed"), ("shown_again", "shown again")):
        if counts[name]:
            rows.append((title, Text(f"{counts[name]:,}").append(f"   {EXPLAINED[name]}", style="dim")))
    if groups is not None:
        rows.append(("groups", _by_priority(groups).append("   in total", style="dim")))
    for name, title in (("late", "arrived late"), ("refusals", "throttled"), ("outside", "outside")):
        if counts[name]:
            rows.append((title, Text(f"{counts[name]:,}")))
    for name, title in (("unseen", "unknown values"), ("leftover", "unknown fields")):
        if counts[name]:
            rows.append((title, shown(", ".join(counts[name]), "yellow", limit=1000)))
    if counts["directory_days"]:
        rows.append(("directory", old_directory(counts["directory_days"])))
    return facts(rows)


EXPLAINED = {
    "exposures": "scans without an alert whose file has proved dangerous",
    "shown_again": "alerts whose allow-list entry has expired",
}


def _alert_details(counts: dict[str, Any]) -> str:
    hidden = f" · {counts['suppressed']:,} hidden by the allow-list" if counts["suppressed"] else ""
    return f"{counts['high']:,} high{hidden}"


def _by_priority(groups: dict[str, int]) -> Text:
    parts = [Text(f"{count:,} {name}", style=PRIORITY.get(name, "")) for name, count in groups.items()]
    return Text(" · ").join(parts) if parts else Text("none")


def _slices(counts: dict[str, Any]) -> str:
    text = f"{format_count(counts['slices'], 'slice')}, {format_count(counts['pages'], 'page')}"
    return f"{text}, {counts['failed']:,} failed" if counts["failed"] else text
