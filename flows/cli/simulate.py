"""The simulated service in the foreground, for trying things out without an account."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from flows.console.invocation import shell_command
from flows.console.options import Home
from flows.console.tables import facts, heading
from flows.console.terminal import out, print_message

if TYPE_CHECKING:
    from tests.simulator.options import Line

KEY_VARIABLES = "ATTACHMENT_ALERTS_"


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 8900,
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
            metavar="NAME[,times=N][,after=N]",
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
    home: Home = None,
) -> None:
    """Simulate the Mimecast API on this machine.

    Serves both API versions on loopback until Ctrl-C, and prints the keys that it accepts.

    Switches select behaviour that is not known for certain of the real service; faults make calls fail.
    """
    from tests import simulator as sim  # noqa: PLC0415 - a web server that no other command needs

    if listing:
        _print_list(sim.switch_lines(), sim.fault_lines())
        return
    now = datetime.now(UTC)
    world = sim.World(seed=seed, per_day=per_day, start=now - timedelta(days=days))
    faults = sim.faults_from(fault or [], fault_rate, fault_seed, fault_name or sim.PASSING)
    simulator = sim.Simulator(world, switches=sim.switches_from(switch or []), faults=faults)
    sim.run(simulator, port, ready=lambda url: _print_keys(url, sim.V1_KEYS, sim.V2_KEYS))
    print_message("The simulator has ended.")


def _print_keys(url: str, v1: dict[str, str], v2: dict[str, str]) -> None:
    out.print(facts([("serving", Text(url, style="bold")), ("until", Text("Ctrl-C"))]))
    out.print(heading("Keys of API 2.0"), facts([(name, Text(key)) for name, key in v2.items()]), sep="\n")
    out.print(heading("Keys of API 1.0"), facts([(name, Text(key)) for name, key in v1.items()]), sep="\n")
    out.print(heading("In another terminal"))
    secret = f"{KEY_VARIABLES}CLIENT_SECRET={v2['client_secret']}"
    address = f"--client-id {v2['client_id']} --base-url {url} --allow-other-host"
    command = shell_command()
    for line in (f"{secret} \\\n    {command} connectors add simulated {address}", f"{command} poll simulated"):
        out.print(Text(f"  {line}"), soft_wrap=True)


def _print_list(switches: "list[Line]", faults: "list[Line]") -> None:
    out.print(heading("Switches", "--switch NAME=VALUE"))
    out.print(facts([(line.name, Text.assemble(line.doc, (f"\n{line.choices}", "dim"))) for line in switches]))
    out.print(heading("Faults", "--fault NAME,times=N,after=N,seconds=N"))
    out.print(facts([(line.name, Text(line.doc)) for line in faults]))
