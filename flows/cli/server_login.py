"""The command `server-login`: the login of the Prefect server that `serve` starts."""

import os
from typing import Annotated

import typer

from flows.console.options import Home
from flows.console.terminal import print_message
from tasks.errors import OperatorError
from tasks.settings import load_settings


def server_login(
    show: Annotated[bool, typer.Option("--show", help="Print only the login.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Create a new login. Restart `serve` afterwards.")] = False,
    home: Home = None,
) -> None:
    """Show where the login of this home's Prefect server is stored, and how to use it.

    The UI asks for it once in each browser: paste the full line, user and password.
    """
    from flows.server import login as logins  # noqa: PLC0415 - imported where it is used, for a fast `--help`

    folder = load_settings().home
    if not folder.is_dir():
        raise OperatorError(f"The home {folder} does not exist. Choose another --home, or start `serve` there first.")
    own = os.environ.get(logins.SERVER)
    if rotate:
        logins.rotate(folder)
        print_message(
            "New login created. Restart `serve`, then your own workers; browsers will ask for it again.", style="green"
        )
    line = own or logins.get_or_create(folder).line
    if own:
        print_message(f"The login is set by {logins.SERVER}, which overrides the file.")
    if show:
        typer.echo(line)
        return
    print_message(f"The login is the line in {'that variable' if own else logins.login_file(folder)}.")
    print_message("The UI asks for it once in each browser: paste the full line.")
    print_message("Your own workers, profiles and `prefect` commands need:")
    print_message(f"  {logins.export_command(folder)}")
