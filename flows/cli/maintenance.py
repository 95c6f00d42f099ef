"""The commands `regroup`, `replay` and `retention`: preview a change and, with `--apply`, make it."""

# ruff: noqa: PLC0415 - imported where used: `--help` should not wait for DuckDB and polars

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from flows.console.options import Home, Json
from flows.console.terminal import confirm, out, print_json, print_message, show_progress
from tasks.formatting import format_count
from tasks.settings import GroupBy, load_settings

if TYPE_CHECKING:
    from tasks.store.store import Store

Apply = Annotated[bool, typer.Option("--apply", help="Make the change. Without it, the change is only shown.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Counts = dict[str, Any]


class ReplayPart(StrEnum):
    """What `replay` applies; an Enum, because Typer does not accept a list of literals as an argument."""

    rejects = "rejects"
    priorities = "priorities"
    responses = "responses"


def regroup(
    group_by: Annotated[
        GroupBy | None,
        typer.Option("--by", show_default=False, help="What alerts of a group have in common. Default: the setting."),
    ] = None,
    gap_hours: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="Longest time between two alerts of a group; 0: no limit."),
    ] = None,
    span_hours: Annotated[
        int | None,
        typer.Option(
            min=0, show_default=False, help="Longest time from a group's first to its last alert; 0: no limit."
        ),
    ] = None,
    apply: Apply = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show how another key or other limits would change the alert groups.

    Changes nothing without --apply. Later runs use the settings, so change those as well.
    """
    from flows.cli.views.maintenance import regroup_page

    def run(store: "Store", *, apply: bool) -> Counts:
        from tasks.maintenance.regroup import run_regroup

        return run_regroup(store, group_by, gap_hours, span_hours, apply=apply)

    def question(counts: Counts) -> str | None:
        changes = counts["alerts_moved"] or counts["alerts_rekeyed"]
        return f"Move {format_count(counts['alerts_moved'], 'alert')} to other groups?" if changes else None

    _preview_and_apply(run, regroup_page, question, apply=apply, yes=yes, as_json=as_json)


def replay(
    what: Annotated[
        list[ReplayPart] | None,
        typer.Argument(show_default=False, help="What to apply: rejects, priorities, responses. Default: all of them."),
    ] = None,
    apply: Apply = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show how this version and your maps would change what is stored.

    Validates rejected records again, and applies priorities.csv and responses.csv to stored scans. Changes nothing
    without --apply.
    """
    from flows.cli.views.maintenance import replay_page

    chosen: list[Any] = [part.value for part in what or ()]

    def run(store: "Store", *, apply: bool) -> Counts:
        from tasks.maintenance.replay_rules import replay_store

        return replay_store(store, chosen, apply=apply)

    def question(counts: Counts) -> str | None:
        if not counts["changes"]:
            return None
        scans, rejects = (
            format_count(counts["scans_changed"], "scan"),
            format_count(counts["rejects_accepted"], "reject"),
        )
        return f"Change {scans} and accept {rejects}?"

    _preview_and_apply(run, replay_page, question, apply=apply, yes=yes, as_json=as_json)


def retention(apply: Apply = False, yes: Yes = False, as_json: Json = False, home: Home = None) -> None:
    """Show which data is older than the retention settings, or remove it.

    Open alerts are never removed. The deployment of the same name runs every day.
    """
    from flows.cli.views.maintenance import retention_page

    def run(store: "Store", *, apply: bool) -> Counts:
        from tasks.maintenance.retention import run_retention

        return run_retention(store, apply=apply)

    def question(counts: Counts) -> str | None:
        total = sum(counts["removed"].values())
        return f"Remove {total:,} rows and records permanently?" if total else None

    _preview_and_apply(run, retention_page, question, apply=apply, yes=yes, as_json=as_json)


class Run(Protocol):
    """Plans the change of a command and, with `apply`, makes it."""

    def __call__(self, store: "Store", *, apply: bool) -> Counts: ...


def _preview_and_apply(
    run: Run,
    page: Callable[[Counts], Any],
    question: Callable[[Counts], str | None],
    *,
    apply: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what would change; with `apply`, ask and make the change. `question` is None if there is nothing to do.

    Notifications of the change wait in the outbox for the next run.
    """
    from tasks.store.factory import open_store
    from tasks.store.store import require_store

    store = open_store(load_settings())
    require_store(store)
    with show_progress("Reading the tables"):
        counts = run(store, apply=False)
    prompt = question(counts)
    if apply and prompt:
        if not as_json:
            out.print(page(counts))
        confirm(prompt, yes)
        with show_progress("Changing the tables"):
            counts = run(store, apply=True)
    if as_json:
        print_json(counts)
    elif not apply:
        out.print(page(counts))
        print_message(
            "Nothing was changed. Use --apply to make this change." if prompt else "There is nothing to change."
        )
    else:
        print_message(
            "Changed and published." if prompt else "There is nothing to change.", style="green" if prompt else "dim"
        )
