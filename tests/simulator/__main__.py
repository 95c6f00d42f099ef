"""The simulator in the foreground, to debug a fault by hand: `python -m tests.simulator --help`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from flows.console.tables import facts, heading
from flows.console.terminal import out
from tasks.errors import SettingsError
from tests.simulator import (
    PASSING,
    V1_KEYS,
    V2_KEYS,
    Simulator,
    World,
    fault_lines,
    faults_from,
    run,
    switch_lines,
    switches_from,
)


def main(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 selects a free one.")] = 8900,
    seed: Annotated[int, typer.Option(help="Seed of the records: the same seed gives the same records.")] = 7,
    per_day: Annotated[int, typer.Option(min=0, help="Records per day.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="How many days ago the records begin.")] = 30,
    switch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", show_default=False, help="Set a switch; can be repeated. See --list."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,times=N][,after=N][,seconds=N]",
            show_default=False,
            help="Plan a fault; can be repeated; times=all is permanent. See --list.",
        ),
    ] = None,
    fault_rate: Annotated[float, typer.Option(min=0, max=1, help="Fraction of calls that fail at random.")] = 0.0,
    fault_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="A random fault; can be repeated. Default: those that pass when retried.",
        ),
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="Seed of the random faults.")] = 0,
    listing: Annotated[bool, typer.Option("--list", help="List all switches and faults, then exit.")] = False,
) -> None:
    """Serve both versions of the Mimecast API on loopback until Ctrl-C.

    Switches select behaviour that is not known for certain of the real service; faults make calls fail.
    """
    if listing:
        print_list()
        return
    world = World(seed=seed, per_day=per_day, start=datetime.now(UTC) - timedelta(days=days))
    try:
        faults = faults_from(fault or [], fault_rate, fault_seed, fault_name or PASSING)
        simulator = Simulator(world, switches_from(switch or []), faults)
        run(simulator, port, ready=print_keys)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None


def print_keys(url: str) -> None:
    out.print(facts([("serving", Text(url, style="bold")), ("until", Text("Ctrl-C"))]))
    for version, keys in (("2.0", V2_KEYS), ("1.0", V1_KEYS)):
        out.print(heading(f"Keys of API {version}"), facts([(name, Text(key)) for name, key in keys.items()]), sep="\n")
    out.print(heading("In another terminal"))
    secret = f"ATTACHMENT_ALERTS_CLIENT_SECRET={V2_KEYS['client_secret']}"
    address = f"--client-id {V2_KEYS['client_id']} --base-url {url} --allow-other-host"
    for line in (f"{secret} \\\n    attachment-alerts connectors add NAME {address}", "attachment-alerts poll NAME"):
        out.print(Text(f"  {line}"), soft_wrap=True)


def print_list() -> None:
    out.print(heading("Switches", "--switch NAME=VALUE"))
    out.print(facts([(line.name, Text.assemble(line.doc, (f"\n{line.choices}", "dim"))) for line in switch_lines()]))
    out.print(heading("Faults", "--fault NAME,times=N,after=N,seconds=N"))
    out.print(facts([(line.name, Text(line.doc)) for line in fault_lines()]))


if __name__ == "__main__":
    typer.run(main)
