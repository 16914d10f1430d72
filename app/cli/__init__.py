"""The command line. It imports late: each command loads what it runs and nothing else."""

import sys

import typer

from app.cli.chat import chat_command
from app.cli.connect import connect
from app.cli.deliveries import deliveries
from app.cli.keys import keys
from app.cli.operations import operations
from app.cli.roles import roles
from app.cli.schedules import schedules
from app.cli.tour import tour_command

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Sixlane")
cli.add_typer(roles)
cli.add_typer(operations)
cli.add_typer(chat_command)
cli.add_typer(tour_command)
cli.add_typer(keys, name="keys")
cli.add_typer(connect, name="connect")
cli.add_typer(schedules, name="schedules")
cli.add_typer(deliveries, name="deliveries")


def main() -> None:
    """Run the command line."""
    if sys.platform == "win32":
        sys.exit("Sixlane does not run on Windows itself; use WSL2 or Docker.")
    cli()
