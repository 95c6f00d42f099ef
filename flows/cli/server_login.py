"""The command `server-login`: how people and programs of their own get into the server that `serve` starts."""

import os
from typing import Annotated

import typer

from flows.console.options import Home
from flows.console.terminal import say
from tasks.errors import OperatorError
from tasks.settings import load_settings


def server_login(
    show: Annotated[bool, typer.Option("--show", help="Print the login itself, and nothing else.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one; restart `serve` after it.")] = False,
    home: Home = None,
) -> None:
    """Say where the login of this site's Prefect server is, and how to use it.

    The UI asks for it once in each browser: paste the whole line, user and password.
    """
    from flows.server import login as logins  # noqa: PLC0415 - imported where it is used, for a fast `--help`

    folder = load_settings().home
    if not folder.is_dir():
        raise OperatorError(f"There is no home at {folder}. Name another --home, or start `serve` there first.")
    own = os.environ.get(logins.SERVER)
    if rotate:
        logins.rotate(folder)
        say("There is a new login. Restart `serve`, then your own workers; browsers ask again.", style="green")
    line = own or logins.get_or_create(folder).line
    if own:
        say(f"This site has set a login of its own, {logins.SERVER}, and uses that.")
    if show:
        typer.echo(line)
        return
    say(f"The login is the line in {'that variable' if own else logins.login_file(folder)}.")
    say("The UI asks for it once in each browser: paste the whole line.")
    say("Workers, profiles and `prefect` commands of your own need:")
    say(f"  {logins.export_command(folder)}")
