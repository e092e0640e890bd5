"""What ``flotilla start``, ``stop`` and ``restart`` have in common: which of the fleet is meant, and what is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import EXIT_FAILED, FlotillaError

if TYPE_CHECKING:
    from app.cli.whereabouts import Fleets
    from app.deploy.docker import Container, Engine
    from app.deploy.target import Target


class Order(StrEnum):
    """What can be told to bots and containers."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class Place(StrEnum):
    """Where bots can run."""

    CONTAINERS = "containers"
    RUN = "run"


class WhereError(FlotillaError):
    """It is not clear which bots are meant, or there are none."""


PlaceOption = Annotated[
    Place | None, typer.Option("--in", help="Which bots are meant, where containers and a `flotilla run` are running.")
]

PARALLEL = 8
"""How many containers are stopped or started at the same time."""

DONE = {Order.START: "started", Order.STOP: "stopped", Order.RESTART: "restarted"}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do; ``name`` is what is told about it, and what the work returns as a note."""

    name: str
    work: Callable[[], str]


def give(order: Order, names: Sequence[str], config: Path, place: Place | None, *, dry_run: bool) -> None:
    """Give an order to the bots called ``names``, and tell of each what came of it; exits with 1 if one fails."""
    from app.cli.whereabouts import fleets

    with fleets(config) as found:
        stages = _run_tasks(order, names, found) if is_run(found, place) else _container_tasks(order, names, found)
        failed = [name for tasks in stages for name in _do(order, tasks, found, dry_run=dry_run)]
    if failed:
        raise typer.Exit(EXIT_FAILED)


def is_run(found: Fleets, place: Place | None) -> bool:
    """Tell whether the run is meant, and not the containers; raises ``WhereError`` when that is not clear."""
    containers = found.containers()
    running = any(container.is_running for container in containers)
    if place is Place.RUN or (place is None and found.run and not running):
        if found.run is None:
            raise WhereError(f"no flotilla run of {found.fleet.path} is there; start one with 'flotilla run'")
        return True
    if found.run and place is None:
        raise WhereError(
            "a flotilla run and containers of this fleet are running; say which: --in run or --in containers"
        )
    if not containers:
        where = f"project {found.project!r} has no containers"
        raise WhereError(f"{where}; start it with 'flotilla up', or with 'flotilla run' without containers")
    return False


def _run_tasks(order: Order, names: Sequence[str], found: Fleets) -> list[list[Task]]:
    from app.deploy.target import bots_of, targets

    run = found.run
    if run is None:
        return []
    running = list(dict.fromkeys(bot["bot"] for bot in run.status["bots"]))  # replicas are told together
    chosen = bots_of(found.fleet, targets(found.fleet, names)) if names else running

    def work(bot: str) -> str:
        return str(run.ask(do=order.value, bot=bot).get("note", ""))

    return [[Task(bot, partial(work, bot)) for bot in chosen]]


def _container_tasks(order: Order, names: Sequence[str], found: Fleets) -> list[list[Task]]:
    """Return what to do at the same time, stage by stage: bots start after what they need, and stop before it."""
    from app.deploy.compose import hosts_of
    from app.deploy.target import targets

    containers = found.containers()
    hosts = set(hosts_of(found.fleet))
    others = found.others() | {container.service for container in containers}
    meant = targets(found.fleet, names, others - hosts)
    if names:
        return [[task for one in meant for task in _tasks(order, one, containers, found)]]
    jobs = found.jobs()
    bots = [one for one in containers if one.service in hosts]
    rest = [one for one in containers if one.service not in hosts | jobs]
    stages = {Order.START: [rest, bots], Order.STOP: [bots, rest], Order.RESTART: [bots]}[order]
    return [[_whole(order, container, found) for container in stage] for stage in stages]


def _tasks(order: Order, target: Target, containers: Sequence[Container], found: Fleets) -> list[Task]:
    has = [container for container in containers if container.service == target.service]
    if not has:
        raise WhereError(f"{target.bot or target.service} has no container; make it with 'flotilla up'")
    if target.bot is None:
        return [_whole(order, container, found) for container in has]
    return [_single(order, target.bot, container, found) for container in has]


def _whole(order: Order, container: Container, found: Fleets) -> Task:
    """Start or stop a container, and with it also those of its bots that were stopped alone."""
    from app.deploy.compose import hosts_of

    engine = _engine(found)
    is_group = len(hosts_of(found.fleet).get(container.service, ())) > 1

    def work() -> str:
        note = _recall(order, engine, container) if is_group else ""
        {Order.START: engine.start, Order.STOP: engine.stop, Order.RESTART: engine.restart}[order](container.id)
        return note

    return Task(container.name, work)


def _recall(order: Order, engine: Engine, container: Container) -> str:
    """Start what is stopped alone in a container, or have it start with its container; return what went wrong."""
    from app.deploy.survey import ask_host, stopped_in

    stopped = stopped_in(engine, container)
    if not stopped:
        return ""
    request = {"do": "start", "bot": None} if order is Order.START else {"do": "forget stops"}
    try:
        return str(ask_host(engine, container, **request).get("note", ""))
    except FlotillaError as error:
        return f"{', '.join(stopped)} may stay stopped: {error}"


def _single(order: Order, bot: str, container: Container, found: Fleets) -> Task:
    """Have the host in a container start or stop one of its bots."""
    from app.deploy.survey import ask_host

    engine = _engine(found)

    def work() -> str:
        if not container.is_running:
            raise WhereError(
                f"the container of {bot} is {container.state}; start it: flotilla start {container.service}"
            )
        return str(ask_host(engine, container, do=order.value, bot=bot).get("note", ""))

    return Task(f"{bot} in {container.name}", work)


def _engine(found: Fleets) -> Engine:
    if found.engine is None:
        raise WhereError("no Docker engine answers")
    return found.engine


def _do(order: Order, tasks: Sequence[Task], found: Fleets, *, dry_run: bool) -> list[str]:
    """Do tasks at the same time; tell of each in its turn, and return the names of those that failed."""
    if dry_run:
        for task in tasks:
            typer.echo(f"would {order.value} {task.name}")
        return []
    failed = []
    with ThreadPoolExecutor(min(PARALLEL, found.engine.parallel if found.engine else PARALLEL)) as pool:
        for task, result in [(task, pool.submit(task.work)) for task in _paced(order, tasks, found)]:
            try:
                note = result.result()
                typer.echo(f"{DONE[order]} {task.name}{note and f'; {note}'}")
            except FlotillaError as error:
                typer.echo(f"{task.name}: {error}", err=True)
                failed.append(task.name)
    return failed


def _paced(order: Order, tasks: Sequence[Task], found: Fleets) -> Iterator[Task]:
    """Yield tasks no faster than Telegram admits bots."""
    from app.config.pace import earliest
    from app.config.settings import TELEGRAM_API_URL

    began = time.monotonic()
    is_limited = order is not Order.STOP and found.fleet.telegram_url == TELEGRAM_API_URL
    for number, task in enumerate(tasks, 1):
        if is_limited:
            time.sleep(max(0.0, began + earliest(number) - time.monotonic()))
        yield task
