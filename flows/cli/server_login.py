"""The command `server-login`: the login of the Prefect server that `serve` starts."""

import os
from typing import Annotated

import typer

from flows.console.options import Home
from flows.console.terminal import say
from tasks.errors import OperatorError
from tasks.settings import load_settings


def server_login(
    show: Annotated[bool, typer.Option("--show", help="Print only the login.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Create a new login. Restart `serve` afterwards.")] = False,
    home: Home = None,
) -> None:
    """Show where the login of this home's Prefect server is, and how to use it.

    The UI asks for it once in each browser: paste the full line, user and password.
    """
    from flows.server import login as logins  # noqa: PLC0415 - imported where it is used, for a fast `--help`

    folder = load_settings().home
    if not folder.is_dir():
        raise OperatorError(f"There is no home at {folder}. Choose another --home, or start `serve` there first.")
    own = os.environ.get(logins.SERVER)
    if rotate:
        logins.rotate(folder)
        say("New login created. Restart `serve`, then your own workers; browsers will ask for it again.", style="green")
    line = own or logins.get_or_create(folder).line
    if own:
        say(f"The login is set by {logins.SERVER}, which overrides the file.")
    if show:
        typer.echo(line)
        return
    say(f"The login is the line in {'that variable' if own else logins.login_file(folder)}.")
    say("The UI asks for it once in each browser: paste the full line.")
    say("Your own workers, profiles and `prefect` commands need:")
    say(f"  {logins.export_command(folder)}")
