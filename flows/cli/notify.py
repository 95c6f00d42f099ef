"""The command `notify --test`: sends a test message and shows what arrives."""

# ruff: noqa: PLC0415 - imported where it is used: Prefect takes seconds to load, and `--help` should not wait for it

from typing import Annotated

import typer
from rich.text import Text

from flows.console.options import Home, Json
from flows.console.tables import facts, heading
from flows.console.terminal import out, print_json, show_progress, shown
from tasks.errors import AlertsError
from tasks.settings import load_settings


def notify(
    test: Annotated[bool, typer.Option("--test", show_default=False, help="Send a test message.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Send a test message through each notification block, and show what arrives.

    Shows the message, what a custom webhook sends, and what each service answered. Succeeds only if all blocks sent it.
    """
    from flows.server import prefect_session

    settings = load_settings()
    prefect_session.load(settings.home)
    with show_progress("Sending a test message"):
        from flows.runs.block_check import build_test_message, send_test_message

        text = build_test_message()
        deliveries = send_test_message(settings, text)
    if as_json:
        print_json({"message": text._asdict(), "blocks": [delivery._asdict() for delivery in deliveries]})
    else:
        out.print(heading("Message"), facts([("subject", shown(text.subject)), ("body", Text(text.body))]), sep="\n")
        for delivery in deliveries:
            state = Text("sent", "green") if delivery.sent else Text("not sent", "bold red")
            rows = [("state", state), ("answer", shown(delivery.answer))]
            rows += [("sends", shown(delivery.content, limit=2000))] if delivery.content else []
            rows += [("error", shown(delivery.error, limit=1000))] if delivery.error else []
            out.print(heading(delivery.block), facts(rows), sep="\n")
    failed = [delivery.block for delivery in deliveries if not delivery.sent]
    if failed:
        raise AlertsError(f"The test message was not sent by {', '.join(failed)}. Correct the block in the Prefect UI.")
