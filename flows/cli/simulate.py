"""The command `simulate`: a sample account for people who try the product without one of their own."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from flows.console.invocation import shell_command
from flows.console.options import Home
from flows.console.tables import facts, heading
from flows.console.terminal import out, print_message


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 selects a free one.")] = 8900,
    home: Home = None,
) -> None:
    """Serve the demo's sample account on this machine.

    It can be saved as a connector, tested and polled like an account of your own. Its alerts are from the six days
    before the command was started.

    Runs until Ctrl-C.
    """
    from tasks.mimecast.demo_account import DemoAccount, DemoServer  # noqa: PLC0415 - no other command needs it

    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with DemoServer(DemoAccount(now), port) as server, suppress(KeyboardInterrupt):
        _print_instructions(server.url)
        server.serve_forever()
    print_message("The sample account is no longer served.")


def _print_instructions(url: str) -> None:
    from tasks.mimecast.demo_account import KEYS  # noqa: PLC0415

    out.print(facts([("serving", Text(url, style="bold")), ("until", Text("Ctrl-C"))]))
    out.print(heading("Keys of API 2.0"), facts([(name, Text(key)) for name, key in KEYS.items()]), sep="\n")
    out.print(heading("In another terminal"))
    secret = f"ATTACHMENT_ALERTS_CLIENT_SECRET={KEYS['client_secret']}"
    address = f"--client-id {KEYS['client_id']} --base-url {url} --allow-other-host"
    command = shell_command()
    for line in (f"{secret} \\\n    {command} connectors add sample {address}", f"{command} poll sample"):
        out.print(Text(f"  {line}"), soft_wrap=True)
