"""``flotilla run --isolate``: each bot or group in a process of its own, under this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.config.fleet import Fleet
    from app.deploy.process import Process
    from app.runtime.children import Children, Program, Write
    from app.runtime.parent import Branch

HOSTS_FOLDER = Path(".flotilla", "hosts")
"""Beside the config; a folder in it for each process, with its control socket and its heartbeat."""

CONTROL_SOCKET = "control.sock"

COLORS = range(31, 37)


def programs_of(
    fleet: Fleet,
    processes: Sequence[Process],
    *,
    database_url: str,
    telegram_url: str | None,
    pages_port: Callable[[int], int],
    metrics_port: int | None = None,
    log_level: str,
) -> Iterator[Program]:
    """Make the program of each process; ``pages_port`` gives the port of the n-th that takes webhooks or serves pages.

    Metrics are served at ``metrics_port`` and those that follow it, if at all.
    Raises ``FlotillaError`` when one lacks what it needs.
    """
    from app.config.pace import start_delay
    from app.deploy.process import environment, of_the_machine
    from app.runtime.children import Program

    for process in processes:
        port = pages_port(process.pages) if process.pages is not None else None
        told = environment(fleet, process, database_url=database_url, telegram_url=telegram_url, pages_port=port)
        own = {
            **of_the_machine(os.environ),
            **told,
            **_own(fleet, process, log_level),
            **metrics_variables(metrics_port, process.index),
        }
        delay = start_delay(process.before + len(process.bots) - 1, own["TELEGRAM_API_URL"])
        yield Program(process.name, (sys.executable, "-m", "app"), own, fleet.path.parent.absolute(), delay)


def _own(fleet: Fleet, process: Process, log_level: str) -> dict[str, str]:
    folder = host_folder(fleet, process)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "CONTROL_SOCKET": str(folder / CONTROL_SOCKET),
        "HEARTBEAT_FILE": str(folder / "heartbeat"),
        "LOG_FORMAT": "text",
        "LOG_LEVEL": log_level,
        "FORCE_COLOR": "1" if sys.stderr.isatty() else "",
        "PYTHONUNBUFFERED": "1",
    }


def metrics_variables(port: int | None, number: int) -> dict[str, str]:
    """Return where the process of this number serves its metrics, the first doing so at ``port``."""
    return {"METRICS_ADDRESS": "127.0.0.1", "METRICS_PORT": "" if port is None else str(port + number)}


def host_folder(fleet: Fleet, process: Process) -> Path:
    """Return the folder with what a process shows of itself."""
    return (fleet.path.parent / HOSTS_FOLDER / process.name).absolute()


async def run_programs(fleet: Fleet, processes: Sequence[Process], programs: Sequence[Program]) -> None:
    """Keep the programs of these processes running, and answer for them, until this process is told to stop."""
    from app.runtime.ask import RUN_SOCKET, control_socket
    from app.runtime.children import Children
    from app.runtime.desk import listening
    from app.runtime.parent import Parent

    children = Children(programs, printer([program.name for program in programs]))
    _stop_at_signals(children)
    desk = Parent(children, [_branch(fleet, process) for process in processes])
    async with listening(control_socket(fleet.path.parent / RUN_SOCKET), desk):
        await children.run()


def _branch(fleet: Fleet, process: Process) -> Branch:
    from app.runtime.parent import Branch

    bots = tuple((bot.name, bot.bot_name, bot.mode.value) for bot in process.bots)
    return Branch(process.name, bots, host_folder(fleet, process) / CONTROL_SOCKET)


def _stop_at_signals(children: Children) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, children.stop)


def printer(names: Sequence[str]) -> Write:
    """Return what prints the lines of all processes, each after the name of its own in a colour of its own."""
    width = max(map(len, names), default=0)
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)}
    is_colored = sys.stderr.isatty() and "NO_COLOR" not in os.environ

    def write(name: str, line: bytes) -> None:
        label = f"{name:<{width}} |"
        shown = f"\x1b[{colors[name]}m{label}\x1b[0m" if is_colored else label
        with contextlib.suppress(OSError):  # nobody reads it, or the disk is full; the child must go on
            sys.stderr.buffer.write(shown.encode() + b" " + line)
            sys.stderr.buffer.flush()

    return write
