"""`python -m flows`: the same as the command `attachment-alerts`."""

from flows.cli.app import main

main()
