"""``flotilla status``: how every bot does."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from app.cli.whereabouts import Fleets
    from app.deploy.row import Row
    from app.deploy.survey import Survey

WIDE = 1000
"""Columns where the output is no terminal."""

NOTHING = (
    "nothing of {config} runs here; start it in containers with 'flotilla up', or with 'flotilla run'"
    " (of what systemd or supervisord runs, they tell)"
)


def status(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell how every bot does, in containers or in a `flotilla run` on this machine.

    UPDATES is the age of the last completed poll, or how many updates wait for a webhook; 5MIN and 24H are learners
    who were active. On a narrow terminal less is shown; --json has it all. Exits with 1 if a bot is not healthy.
    """
    from app.cli.whereabouts import fleets

    with fleets(config) as found:
        run, contained = rows_of(found, bots or (), found.survey())
    if json:
        _print_json(found, run, contained)
    else:
        _print(found, run, contained)
    if not (run or contained) or any(row.is_bot and not row.is_well for row in (*run, *contained)):
        raise typer.Exit(EXIT_FAILED)


def rows_of(found: Fleets, names: Sequence[str], survey: Survey | None) -> tuple[list[Row], list[Row]]:
    """Look at the bots called ``names`` (none: all) now: those of the run, and those in containers."""
    from app.deploy.row import run_rows

    run = run_rows(found.run.ask(do="status")) if found.run else []
    return _chosen(found, run, names), _chosen(found, found.rows(survey), names)


def _chosen(found: Fleets, rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows that are meant by names; all of them without any."""
    from app.deploy.target import targets

    if not names:
        return list(rows)
    meant = targets(found.fleet, names, found.others())
    return [
        row for row in rows for one in meant if one.service == row.service and one.bot in (None, row.bot.split("/")[0])
    ]


def _print(found: Fleets, run: Sequence[Row], contained: Sequence[Row]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    if not (run or contained):
        typer.echo(NOTHING.format(config=found.fleet.path), err=True)
    for part in picture(found, run, contained, console.width if console.is_terminal else None):
        console.print(part, soft_wrap=isinstance(part, str))


def picture(found: Fleets, run: Sequence[Row], contained: Sequence[Row], width: int | None) -> list[RenderableType]:
    """Return what is to be seen of the rows: a table for each place, under a headline if there are both."""
    from rich.markup import escape

    from app.cli.table import notes, table

    parts: list[RenderableType] = []
    if run and found.run:
        parts += [f"flotilla run (pid {found.run.status['pid']})", table(run, width)]
    if contained:
        parts += [f"containers of project {escape(found.project)}"] if run else []
        parts += [table(contained, width)]
    return [*parts, *map(escape, notes([*run, *contained]))]


def _print_json(found: Fleets, run: Sequence[Row], contained: Sequence[Row]) -> None:
    from app.cli.database import print_json

    print_json(
        {
            "run": {"pid": found.run.status["pid"], "bots": [_json(row) for row in run]} if found.run else None,
            "project": found.project,
            "bots": [_json(row) for row in contained if row.is_bot],
            "services": [_json(row) for row in contained if not row.is_bot],
        }
    )


def _json(row: Row) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(row).items()}
