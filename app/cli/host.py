"""``flotilla host``: this process becomes that of one bot or group."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.config.fleet import Fleet
    from app.deploy.process import Process


def host(
    service: Annotated[str, typer.Argument(metavar="NAME", help="A bot, or a group.")],
    config: Annotated[Path, typer.Option(help="The fleet.")] = Path("bots_config.yaml"),
    scripts: Annotated[Path | None, typer.Option(help="The folder with the courses.")] = None,
    replica: Annotated[int, typer.Option(help="Which of its replicas.", min=1)] = 1,
    migrate: Annotated[bool, typer.Option("--migrate", help="Bring the database up to date before.")] = False,
) -> None:
    """Run one bot or group as its container would: with its own variables and no others.

    What systemd and supervisord start. The database is that of DATABASE_URL; with telegram: sandbox there must be
    a 'flotilla sandbox' on this machine.
    """
    from app.config.load import load_fleet
    from app.deploy.process import processes_of

    fleet = load_fleet(config, os.environ, scripts, need_secrets=False)
    process = _chosen(fleet, processes_of(fleet), service, replica)
    environ = _environment(fleet, process)
    if migrate:
        _migrate(environ["DATABASE_URL"])
    sys.stdout.flush()
    os.chdir(fleet.path.parent)
    os.execve(sys.executable, [sys.executable, "-m", "app"], environ)  # noqa: S606 - our own program


def _chosen(fleet: Fleet, processes: Sequence[Process], service: str, replica: int) -> Process:
    from app.config.host import UnknownBotError

    names = {process.service: process.bots[0].replicas for process in processes}
    if service not in names:
        raise UnknownBotError(f"{fleet.path} has no bot or group {service!r}; it has {', '.join(names)}")
    if replica > names[service]:
        raise UnknownBotError(f"{fleet.path} has no replica {replica} of {service!r}; replicas: {names[service]}")
    return next(process for process in processes if (process.service, process.replica) == (service, replica))


def _environment(fleet: Fleet, process: Process) -> dict[str, str]:
    from app.cli.isolate import CONTROL_SOCKET, host_folder, metrics_variables
    from app.cli.sandbox import PORT
    from app.deploy.process import PAGES_PORT, environment, of_the_machine

    environ = fleet.environ
    told = environment(
        fleet,
        process,
        database_url=environ.get("DATABASE_URL", ""),
        telegram_url=f"http://127.0.0.1:{_port(environ, 'SANDBOX_PORT') or PORT}" if fleet.sandbox else None,
        pages_port=(_port(environ, "PAGES_PORT") or PAGES_PORT) + (process.pages or 0),
    )
    folder = Path(environ["RUNTIME_DIRECTORY"]) if environ.get("RUNTIME_DIRECTORY") else host_folder(fleet, process)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        **of_the_machine(os.environ),
        **told,
        **metrics_variables(_port(environ, "METRICS_PORT"), process.index),
        "CONTROL_SOCKET": str(folder / CONTROL_SOCKET),
        "HEARTBEAT_FILE": str(folder / "heartbeat"),
    }


def _port(environ: Mapping[str, str], name: str) -> int | None:
    from app.errors import InputError, Problem

    text = environ.get(name) or None
    if text is not None and not text.isdecimal():
        raise InputError([Problem("environment", 0, 0, name, f"is {text!r}", "write a port from 1 to 65535")])
    return int(text) if text else None


def _migrate(database_url: str) -> None:
    import asyncio

    from app.cli.migrate import DATABASE_WAIT_SECONDS, countdown
    from app.store.connection import seldom, wait_until_ready
    from app.store.migrate import migrate

    asyncio.run(wait_until_ready(database_url, DATABASE_WAIT_SECONDS, seldom(countdown)))
    migrate(database_url)
