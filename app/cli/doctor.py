"""``flotilla doctor``: what is wrong with the machine, Telegram or the database, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.database import JsonOption
from app.errors import EXIT_FAILED

if TYPE_CHECKING:
    from app.cli.checkup.finding import Finding
    from app.config.fleet import Fleet

LIMIT_SECONDS = 30.0
"""How long all checks of one kind may take; each answer has a limit of its own."""


def doctor(
    config: Annotated[Path, typer.Option(help="The fleet.")] = Path("bots_config.yaml"),
    scripts: Annotated[Path | None, typer.Option(help="The folder with the courses.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at everything the fleet needs.

    That is the engine, ports, images, memory, disk, Telegram, tokens, webhooks, clock, database and schema. Nothing is
    changed. Exits with 1 if something fails.
    """
    import asyncio
    from dataclasses import asdict

    from app.cli.checkup.finding import Grade
    from app.cli.database import print_json
    from app.config.load import load_fleet

    fleet = load_fleet(config, os.environ, scripts, need_secrets=False)
    found = asyncio.run(_examine(fleet))
    failures = sum(finding.grade is Grade.FAIL for finding in found)
    if as_json:
        print_json({"ok": not failures, "checks": [asdict(finding) for finding in found]})
    else:
        print("\n".join(map(str, found)))
    if failures:
        raise typer.Exit(EXIT_FAILED)


async def _examine(fleet: Fleet) -> list[Finding]:
    import asyncio

    from app.cli.checkup.database import examine_database
    from app.cli.checkup.finding import ok, warning
    from app.cli.checkup.machine import examine_machine
    from app.cli.checkup.telegram import examine_telegram

    groups = await asyncio.gather(
        _in_time("engine", asyncio.to_thread(examine_machine, fleet, os.environ)),
        _in_time("telegram", examine_telegram(fleet)),
        _in_time("database", examine_database(fleet, os.environ)),
    )
    config = [warning("config", str(problem)) for problem in fleet.warnings]
    bots = f"{len(fleet.bots)} bot" + ("s" if len(fleet.bots) > 1 else "")
    return [*(config or [ok("config", f"{fleet.path}: {bots}")]), *(finding for group in groups for finding in group)]


async def _in_time(check: str, work: Awaitable[list[Finding]]) -> list[Finding]:
    import asyncio

    from app.cli.checkup.finding import fail

    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await work
    except TimeoutError:
        return [fail(check, f"no answer within {LIMIT_SECONDS:g} s", "look at the network and the load of the machine")]
