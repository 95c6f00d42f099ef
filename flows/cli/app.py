"""The command `attachment-alerts`: each of its commands calls a flow, a plain function or a query."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` should not wait for it

import sys
from importlib.metadata import version as installed_version
from typing import Annotated, Literal

import typer

from flows.cli.alerts import alerts, group, health
from flows.cli.connectors import app as connectors
from flows.cli.entry import TRACEBACK, start
from flows.cli.maintenance import regroup, replay, retention
from flows.cli.notify import notify
from flows.cli.serve import serve
from flows.cli.server_login import server_login
from flows.cli.simulate import simulate
from flows.cli.triage import allow_list, triage
from flows.console.datetimes import parse_time
from flows.console.options import COMMAND, DemoHome, Home, Json, Name, example

app = typer.Typer(
    name=COMMAND,
    epilog=example("demo", "alerts --priority high"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and keys are among them
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"{COMMAND} {installed_version(COMMAND)}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help=f"Show where an error came from. Also: {TRACEBACK}=1.")
    ] = False,
) -> None:
    """Attachment scans become grouped, prioritised alerts in DuckDB."""


@app.command(epilog=example("demo"))
def demo(home: DemoHome = None) -> None:
    """Demonstrate the whole system without an account.

    Polls a sample account into its own home, data/demo-home, and changes nothing else.

    A second run finds nothing new.
    """
    from flows.cli.demo import run_demo

    run_demo(home)


app.command(
    epilog=example("alerts", "alerts --priority high --since 24h", "alerts --status all --json --limit 1"),
)(alerts)
app.command(epilog=example("group d0fb63d8", "group d0fb63d8 --alerts 200"))(group)


@app.command(epilog=example("poll acme"))
def poll(name: Name, as_json: Json = False, home: Home = None) -> None:
    """Poll one account now.

    Fetches everything new since the last poll and everything that failed before, and creates alerts.
    """
    from flows.cli.run import run

    run("poll", name, as_json=as_json)


@app.command(epilog=example("backfill acme --from 2026-03-01 --to 2026-03-08"))
def backfill(
    name: Name,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", show_default=False, help="Start. Times without a zone are UTC.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", show_default=False, help="End (exclusive).")],
    what: Annotated[
        Literal["missing", "everything"],
        typer.Option(help="Fetch only what is not in the tables yet, or everything again."),
    ] = "missing",
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Fetch a time range of one account.

    Can be stopped and started again without loss.
    """
    edges = parse_time(start), parse_time(end)
    from flows.cli.run import run

    run("backfill", name, *edges, what, as_json=as_json)


@app.command(epilog=example("test-connection acme"))
def test_connection(name: Name, as_json: Json = False, home: Home = None) -> None:
    """Test a saved connector, check by check.

    Succeeds only if a poll would work.
    """
    from flows.cli.connectors import test

    test(name, as_json=as_json)


@app.command(epilog=example("import-directory exports/", "import-directory users.csv devices.zip --tenant acme"))
def import_directory(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            show_default=False,
            help="Files, folders or zips. Default: the home's drop folder.",
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="The organisation the exports belong to.")] = "default",
    confirm_gone: Annotated[
        bool, typer.Option("--confirm-gone", help="Import even if many people of a source would be marked as gone.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Import exports of people and devices.

    Recognises files by their content. Afterwards all recipients are matched again.
    """
    from flows.cli.directory import import_directory as imported

    imported(paths, tenant, confirm_gone=confirm_gone, as_json=as_json)


app.command(epilog=example("health", "health --json"))(health)
app.command(epilog=example("regroup", "regroup --by hash+response --span-hours 72", "regroup --apply"))(regroup)
app.command(epilog=example("replay", "replay priorities responses", "replay rejects --apply"))(replay)
app.command(epilog=example("retention", "retention --apply"))(retention)
app.command(epilog=example("notify --test", "notify --test --json"))(notify)
app.command(epilog=example("serve", "serve --port 4300"))(serve)
app.command(
    "server-login",
    epilog=example("server-login", "server-login --rotate"),
)(server_login)
app.add_typer(connectors)
app.command(
    epilog=example(
        "triage d0fb63d8 --status closed --reason benign --comment 'our newsletter'",
        "triage d0fb63d8 0a91 --status in_progress --assignee zoe",
        "triage --priority medium --older-than 30d --status closed --reason benign",
    )
)(triage)
app.add_typer(allow_list)
app.command(epilog=example("simulate", "simulate --port 8901"))(simulate)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; ends with SystemExit."""
    start(app, sys.argv[1:] if arguments is None else arguments)
