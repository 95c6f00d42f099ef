"""The commands `triage` and `allow-list`, which call plain functions."""

# ruff: noqa: PLC0415 - imported where it is used: `--help` should not wait for DuckDB and polars

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from flows.console.datetimes import parse_since, parse_until
from flows.console.options import Home, Json, example
from flows.console.terminal import confirm, out, print_json, print_message, show_progress
from tasks.formatting import format_count
from tasks.settings import load_settings

if TYPE_CHECKING:
    pass

Tenant = Annotated[str, typer.Option(help="The organisation it applies to.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def _text(name: str, description: str, metavar: str = "TEXT") -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar=metavar, show_default=False, help=description)
    return option


def triage(
    status: Annotated[
        Literal["new", "in_progress", "closed"], typer.Option(show_default=False, help="The new status.")
    ],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]...", show_default=False, help="IDs of groups, or their first characters."),
    ] = None,
    reason: Annotated[
        Literal["true_positive", "false_positive", "benign", "duplicate"] | None,
        typer.Option(show_default=False, help="Why the alerts are closed."),
    ] = None,
    assignee: Annotated[str | None, _text("--assignee", "Who works on it. Default: unchanged.")] = None,
    comment: Annotated[str | None, _text("--comment", "Comment on the decision.")] = None,
    by: Annotated[str | None, _text("--by", "Who decides. Default: the current user.")] = None,
    alert: Annotated[list[str] | None, _text("--alert", "ID of a single alert; can be repeated.", "ID")] = None,
    priority: Annotated[
        Literal["high", "medium"] | None, typer.Option(show_default=False, help="Alerts of this priority.")
    ] = None,
    file_hash: Annotated[str | None, _text("--hash", "Alerts of this file.", "SHA256")] = None,
    sender: Annotated[str | None, _text("--sender", "Alerts of mail from this address.")] = None,
    sender_domain: Annotated[str | None, _text("--sender-domain", "Alerts of mail from this domain.")] = None,
    older_than: Annotated[
        str | None, _text("--older-than", "Alerts detected before this time: 2026-03-01, 24h or 7d.", "TIME")
    ] = None,
    tenant: Annotated[str | None, _text("--tenant", "Alerts of this organisation.")] = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Set the status of alert groups or single alerts.

    Start work on them, close them with a reason, or reset them to new. Give IDs, or select open alerts with options:
    then their number is shown, and you are asked for confirmation.

    If any part of the request is invalid, nothing is changed.
    """
    from tasks.store.factory import open_store
    from tasks.triage.decision import Decision
    from tasks.triage.decisions import decide, find_alerts
    from tasks.triage.selection import Filter

    store = open_store(load_settings())
    decision = Decision(status, by or getpass.getuser(), reason, assignee, comment)
    before = parse_since(older_than, datetime.now(UTC)) if older_than else None
    chosen = Filter(tenant, priority, file_hash, sender, sender_domain, before)
    what = (f"{status} as {reason}" if reason else status).replace("_", " ")
    if ids or alert:
        chosen.check_unset()
        with show_progress("Saving the decision", briefly=True):
            decided = decide(store, decision, groups=ids, alerts=alert)
    else:
        found = find_alerts(store, chosen, decision)
        confirm(f"Set {_counts(len(found.alerts), found.groups)} to {what}?", yes)
        with show_progress("Saving the decision", briefly=True):
            decided = decide(store, decision, found=found)
    if as_json:
        print_json(decided._asdict())
        return
    print_message(f"{_counts(decided.alerts, len(decided.groups))}: {what}.", style="")


def _counts(alerts: int, groups: int) -> str:
    return f"{format_count(alerts, 'alert')} of {format_count(groups, 'group')}"


allow_list = typer.Typer(
    name="allow-list",
    no_args_is_help=True,
    help="Hide alerts of files, senders and sender domains known to be harmless.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("allow-list add sender_domain news.example --reason 'our newsletter'", "allow-list list"),
)
KIND = typer.Argument(metavar="KIND", show_default=False, help="hash, sender or sender_domain.")


@allow_list.command(
    epilog=example(
        "allow-list add sender_domain news.example --reason newsletter --expires 90d",
        "allow-list add sender scanner@contoso.example --reason 'our own scanner' --yes",
    )
)
def add(
    kind: Annotated[Literal["hash", "sender", "sender_domain"], KIND],
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False, help="The hash, address or domain.")],
    reason: Annotated[str, _text("--reason", "Why these alerts are harmless.")],
    expires: Annotated[
        str | None, _text("--expires", "When the entry expires: 30d, 12h or a date. Default: never.", "TIME")
    ] = None,
    author: Annotated[str | None, _text("--author", "Who is responsible for it. Default: the current user.")] = None,
    tenant: Tenant = "default",
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Hide the alerts of a file, a sender or a sender domain.

    Shows how many stored alerts this hides, and asks for confirmation. Later alerts are hidden when they arrive.
    """
    from tasks.store.factory import open_store
    from tasks.triage import allow_list as entries

    store = open_store(load_settings())
    ends = parse_until(expires, datetime.now(UTC)) if expires else None
    entry = entries.Entry(kind, value, reason, author or getpass.getuser(), ends, tenant)
    hidden = entries.preview_entry(store, entry)
    confirm(f"The entry hides {hidden.describe()}. Add it?", yes)
    with show_progress("Hiding the alerts", briefly=True):
        entry_id, hidden = entries.add(store, entry)
    if as_json:
        print_json({"entry_id": entry_id, **hidden._asdict()})
    else:
        print_message(f"Entry {str(entry_id)[:8]} hides {hidden.describe()}.", style="")


@allow_list.command("list", epilog=example("allow-list list", "allow-list list --all --json"))
def list_all(
    everything: Annotated[bool, typer.Option("--all", help="Include entries that have ended.")] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List the entries and the number of alerts each hides."""
    from flows.cli.views.allow_list import entries_table
    from tasks.queries import lookups
    from tasks.store.factory import open_store

    store = open_store(load_settings())
    found = lookups.allow_list(store, ended=everything)
    if as_json:
        print_json(found)
    elif found:
        out.print(entries_table(found, ZoneInfo(store.settings.time_zone)))
    else:
        print_message("The allow-list is empty.")


@allow_list.command(epilog=example("allow-list remove 3f2a81c0"))
def remove(
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID...", show_default=False, help="IDs of entries, or first characters."),
    ],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Remove entries: their alerts are shown again, unless another entry hides them."""
    from tasks.store.factory import open_store
    from tasks.triage import allow_list as entries

    with show_progress("Showing the alerts again", briefly=True):
        ended = entries.remove(open_store(load_settings()), ids)
    if as_json:
        print_json(ended._asdict())
    else:
        removed = f"{format_count(len(ended.entries), 'entry')} removed"
        print_message(f"{removed}; {format_count(ended.shown_again, 'alert')} shown again.", style="")
