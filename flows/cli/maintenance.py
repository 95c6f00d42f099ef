"""`regroup`, `replay`, `retention`: what is stored by other rules, or too old; shown first, changed when asked for."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` shall not wait for it

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.console.options import Home, Json
from flows.console.terminal import confirmed, out, print_json, say, working
from flows.server import prefect_session
from tasks.errors import AlertsError
from tasks.formatting import several
from tasks.settings import load_settings

if TYPE_CHECKING:
    from tasks.store.store import Store

Apply = Annotated[bool, typer.Option("--apply", help="Make the change. Without it, it is only shown.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the change.")]


class Present(StrEnum):
    """What of the present `replay` applies; an Enum, because a list of literals is no argument."""

    rejects = "rejects"
    priorities = "priorities"
    responses = "responses"


Show = Callable[[dict[str, Any]], Any]


def regroup(
    group_by: Annotated[
        Literal["hash", "hash+priority", "hash+response", "hash+priority+response"] | None,
        typer.Option("--by", show_default=False, help="What alerts must share to be one group. Default: the setting."),
    ] = None,
    gap_hours: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="Longest time between two alerts of a group; 0: no limit."),
    ] = None,
    span_hours: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="Longest time from a group's first alert to its last; 0: none."),
    ] = None,
    apply: Apply = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show what grouping all alerts by another key or other limits changes.

    Changes nothing without --apply. Later runs group by the settings: change those, too.
    """
    from flows.cli.views.maintenance import regroup_page

    given = (group_by, gap_hours, span_hours)

    def plan(store: "Store") -> dict[str, Any]:
        from tasks.maintenance.regroup import run_regroup

        return run_regroup(store, *given, apply=False)

    def question(counts: dict[str, Any]) -> str | None:
        changes = counts["alerts_moved"] or counts["alerts_rekeyed"]
        return f"Move {several(counts['alerts_moved'], 'alert')} to other groups?" if changes else None

    _planned("regroup", given, plan, regroup_page, question, apply=apply, yes=yes, as_json=as_json)


def replay(
    what: Annotated[
        list[Present] | None,
        typer.Argument(show_default=False, help="What to apply: rejects, priorities, responses. Default: all three."),
    ] = None,
    apply: Apply = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show what the present program and maps would make of what is stored.

    Rejects are read again; your priorities.csv and responses.csv are applied to stored scans. Changes nothing without
    --apply.
    """
    from flows.cli.views.maintenance import replay_page

    chosen: list[Any] = [each.value for each in what or ()]

    def plan(store: "Store") -> dict[str, Any]:
        from flows.runs.replay_run import replay_store  # connectors say what scans without a verdict count as

        return replay_store(store, chosen, apply=False)

    def question(counts: dict[str, Any]) -> str | None:
        if not counts["changes"]:
            return None
        changes, accepts = several(counts["scans_changed"], "scan"), several(counts["rejects_accepted"], "reject")
        return f"Change {changes} and accept {accepts}?"

    options = {"apply": apply, "yes": yes, "as_json": as_json, "needs_api": True}
    _planned("replay", (chosen,), plan, replay_page, question, **options)


def retention(apply: Apply = False, yes: Yes = False, as_json: Json = False, home: Home = None) -> None:
    """Show what is older than the settings keep, or remove it.

    Open alerts stay for ever. The deployment of the same name does this every day.
    """
    from flows.cli.views.maintenance import retention_page

    def plan(store: "Store") -> dict[str, Any]:
        from tasks.maintenance.retention import run_retention

        return run_retention(store, apply=False)

    def question(counts: dict[str, Any]) -> str | None:
        total = sum(counts["removed"].values())
        return f"Remove {total:,} rows and records for good?" if total else None

    _planned("retention", (), plan, retention_page, question, apply=apply, yes=yes, as_json=as_json)


def _planned(
    name: str,
    given: tuple[Any, ...],
    plan: Callable[["Store"], dict[str, Any]],
    page: Show,
    question: Callable[[dict[str, Any]], str | None],
    *,
    apply: bool,
    yes: bool,
    as_json: bool,
    needs_api: bool = False,
) -> None:
    """Show the plan; with `apply`, ask, run the flow of that name, and show what it did."""
    from tasks.store.factory import open_store
    from tasks.store.store import must_exist

    store = open_store(load_settings())
    must_exist(store)  # before a server is started for it
    if needs_api:
        prefect_session.load(store.settings.home)
    with prefect_session.asking("Looking at what is stored") if needs_api else working("Looking at what is stored"):
        counts = plan(store)
    asked = question(counts)
    if apply and asked:
        if not as_json:
            out.print(page(counts))
        confirmed(asked, yes)
        counts = _run(name, given)
    if as_json:
        print_json(counts)
    elif not apply:
        out.print(page(counts))
        say("Nothing was changed: this is what --apply would do." if asked else "There is nothing to change.")
    else:
        say("Done, and published." if asked else "There is nothing to change.", style="green" if asked else "dim")


def _run(name: str, given: tuple[Any, ...]) -> dict[str, Any]:
    """Run the flow with `apply` in this process; what it did. Raises AlertsError where it failed."""
    prefect_session.load(load_settings().home)
    with prefect_session.asking() as change:
        from flows import regroup, replay, retention

        flows = {"regroup": regroup.regroup, "replay": replay.replay, "retention": retention.retention}
        flow: Any = flows[name]
        change(f"{name.capitalize()} is at work")
        state = flow(*given, apply=True, return_state=True)
        result = state.result(raise_on_failure=False)
    if not state.is_completed():
        raise AlertsError(str(state.message))
    return dict(result)
