"""The ``flotilla`` command. Each command lives in a module of its own and imports what it needs when it runs."""

from __future__ import annotations

import sys

import typer

from app.cli.adopt import adopt
from app.cli.ban import ban, bans, unban
from app.cli.broadcast import broadcast
from app.cli.check import check
from app.cli.course import course
from app.cli.doctor import doctor
from app.cli.down import down
from app.cli.generate import generate
from app.cli.host import host
from app.cli.init import init
from app.cli.level import log_level
from app.cli.logs import logs
from app.cli.migrate import migrate
from app.cli.participants import participants
from app.cli.pin import pin, rollback
from app.cli.restart import restart
from app.cli.run import run
from app.cli.sandbox import sandbox
from app.cli.start import start
from app.cli.status import status
from app.cli.stop import stop
from app.cli.test import test
from app.cli.top import top
from app.cli.up import up
from app.cli.versions import versions
from app.errors import FlotillaError
from app.observe.secrets import mask_tracebacks, masked

cli = typer.Typer(
    name="flotilla",
    help="Many Telegram course bots from one file.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cli.command()(init)
cli.command()(check)
cli.command()(generate)
cli.command()(run)
cli.command()(up)
cli.command()(down)
cli.command()(start)
cli.command()(stop)
cli.command()(restart)
cli.command()(status)
cli.command()(top)
cli.command()(logs)
cli.command()(log_level)
cli.command()(host)
cli.command()(doctor)
cli.command()(pin)
cli.command()(rollback)
cli.command()(versions)
cli.command()(migrate)
cli.add_typer(course, name="course")
cli.add_typer(participants, name="participants")
cli.add_typer(broadcast, name="broadcast")
cli.command()(ban)
cli.command()(unban)
cli.command()(bans)
cli.command()(adopt)
cli.command()(sandbox)
cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)


@cli.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        from app import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; what a person can act on goes to standard error without a traceback."""
    mask_tracebacks()
    try:
        cli()
    except FlotillaError as error:
        print(masked(str(error)), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
