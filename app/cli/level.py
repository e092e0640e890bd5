"""``flotilla log-level``: how much running bots write into their logs."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Fleet

Request = dict[str, Any]


class Level(StrEnum):
    """From the one that tells most to the one that tells least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NotRunningError(FlotillaError):
    """A bot that is to be told something does not run."""


def log_level(
    level: Annotated[Level, typer.Argument(help="From which level on lines are written.", show_default=False)],
    bots: Annotated[list[str] | None, typer.Argument(metavar="BOT", help="Names of bots; default: all.")] = None,
    config: Annotated[Path, typer.Option(help="The fleet's config.")] = Path("bots_config.yaml"),
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Change how much running bots write into their logs, until they are started again.

    It reaches the bots of `flotilla run` beside the config, or those in containers.
    """
    from app.cli.database import print_json
    from app.config.host import select_bots
    from app.config.load import load_fleet

    fleet = load_fleet(config, os.environ, need_secrets=False)
    meant = [bot.name for bot in select_bots(fleet, bots)] if bots else [None]
    requests: list[Request] = [{"do": "level", "bot": name, "level": level.value} for name in meant]
    told = _tell_run(fleet, requests)
    if told is None:
        told = _tell_containers(fleet, requests)
    names = [bot.name for bot in fleet.bots if bot.name in told]
    if json:
        print_json({"level": level.value, "bots": names})
        return
    for name in names:
        print(f"{name}: {level.value}")


def _tell_run(fleet: Fleet, requests: list[Request]) -> set[str] | None:
    """Tell the bots of ``flotilla run``, and name them; ``None`` when nobody runs there."""
    from app.cli.whereabouts import run_of

    run = run_of(fleet.path)
    if run is None:
        return None
    for request in requests:
        run.ask(**request)
    return {request["bot"] for request in requests} - {None} or {bot["bot"] for bot in run.status["bots"]}


def _tell_containers(fleet: Fleet, requests: list[Request]) -> set[str]:
    """Tell the bots in containers, and name them."""
    from app.deploy.compose import hosts_of
    from app.deploy.docker import Engine
    from app.deploy.project import Project
    from app.deploy.survey import ask_host

    hosts = hosts_of(fleet)
    with Engine.connect(os.environ) as engine:
        found = engine.containers(Project.of(fleet.path, os.environ).name)
        running = [one for one in found if one.is_running and one.service in hosts]
        for request in requests:
            name = request["bot"]
            chosen = [one for one in running if name is None or name in [bot.name for bot in hosts[one.service]]]
            if not chosen:
                what = "no bot of the fleet runs" if name is None else f"bot {name!r} does not run"
                raise NotRunningError(f"{what}, neither here nor in containers; start it first")
            for container in chosen:
                ask_host(engine, container, **request)
    named = {request["bot"] for request in requests} - {None}
    return named or {bot.name for one in running for bot in hosts[one.service]}
