"""``flotilla run``: the fleet in this process, without Docker."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.database import DEFAULT_CONFIG
from app.cli.migrate import DATABASE_WAIT_SECONDS
from app.cli.sandbox import PORT

if TYPE_CHECKING:
    from app.config.fleet import Fleet

LOCAL = "127.0.0.1"

BotsArgument = Annotated[list[str] | None, typer.Argument(metavar="BOT", help="Names of bots; default: all.")]
ConfigOption = Annotated[Path, typer.Option(help="The fleet's config.")]
ScriptsOption = Annotated[Path | None, typer.Option(help="Folder of the courses; default: beside the config.")]
PortOption = Annotated[
    int, typer.Option(envvar="SANDBOX_PORT", help="Port of the sandbox's chat page.", min=0, max=65535)
]
PagesPortOption = Annotated[
    int | None,
    typer.Option(
        envvar="PAGES_PORT",
        help="Port of webhooks and mini apps' pages; default: the one after that of the chat page, if it is free.",
        min=1,
        max=65535,
    ),
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        envvar="METRICS_PORT",
        help="Port of /metrics, on this machine, the first of several with --isolate; default: none.",
        min=1,
        max=65535,
    ),
]
WaitOption = Annotated[float, typer.Option(help="Seconds to wait for the database of DATABASE_URL.", min=0)]
LevelOption = Annotated[str | None, typer.Option(help="debug, info, warning or error; default: LOG_LEVEL, else info.")]
IsolateOption = Annotated[
    bool, typer.Option("--isolate", help="Each bot or group in a process of its own, started again when it dies.")
]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a run listens: the chat page (0: anywhere), and if that is said, webhooks and pages, and the metrics."""

    chat_page: int
    pages: int | None
    metrics: int | None


def run(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scripts: ScriptsOption = None,
    port: PortOption = PORT,
    pages_port: PagesPortOption = None,
    metrics_port: MetricsPortOption = None,
    database_wait: WaitOption = DATABASE_WAIT_SECONDS,
    log_level: LevelOption = None,
    isolate: IsolateOption = False,
) -> None:
    """Run bots in this process until Ctrl+C.

    The database is an embedded PostgreSQL in .flotilla/ beside the config, unless DATABASE_URL is set; with
    telegram: sandbox the chat page is served too. Pages of mini apps are served on this machine.
    """
    with contextlib.suppress(KeyboardInterrupt):  # before those that serve have learned what to do at Ctrl+C
        ports = Ports(port, pages_port, metrics_port)
        _run(config, scripts, bots or [], ports, database_wait, log_level, isolate=isolate)
    print("stopped")


def _run(
    config: Path,
    scripts: Path | None,
    bots: list[str],
    ports: Ports,
    database_wait: float,
    log_level: str | None,
    *,
    isolate: bool,
) -> None:
    from app.config.host import select_bots
    from app.config.load import load_fleet
    from app.deploy.compose import max_connections
    from app.deploy.process import processes_of
    from app.observe.logs import configure_logs, style_of
    from app.runtime.loop import run as run_loop

    configure_logs(style_of(os.environ.get("LOG_FORMAT")) or "text", log_level or "info")
    fleet = load_fleet(config, os.environ, scripts)
    chosen = fleet.model_copy(update={"bots": select_bots(fleet, bots)})
    level = log_level or fleet.environ.get("LOG_LEVEL") or "info"
    for warning in fleet.warnings:
        print(warning)
    _look_for_containers(fleet, bots)
    hosts = len(processes_of(fleet)) if isolate else 1
    serve = _serve_apart if isolate else _serve
    with _alone(fleet), _database(fleet, database_wait, max_connections(hosts)) as database_url:
        run_loop(serve(fleet, chosen, database_url, ports, level))


async def _serve_apart(fleet: Fleet, chosen: Fleet, database_url: str, ports: Ports, log_level: str) -> None:
    """Run the ``chosen`` part of a fleet, each bot or group in a process of its own."""
    from app.cli.isolate import programs_of, run_programs
    from app.deploy.process import processes_of

    processes = processes_of(chosen)
    taken = set(range(ports.metrics, ports.metrics + len(processes))) if ports.metrics is not None else set()

    def pages(number: int) -> int:
        wanted, chat_page = ports.pages and ports.pages + number, ports.chat_page and ports.chat_page + number
        found = pages_address(wanted, chat_page, taken)
        taken.add(found[1])
        return found[1]

    async with _sandbox(fleet, ports.chat_page) as telegram_url:
        programs = programs_of(
            chosen,
            processes,
            database_url=database_url,
            telegram_url=telegram_url,
            pages_port=pages,
            metrics_port=ports.metrics,
            log_level=log_level,
        )
        started = list(programs)
        if ports.metrics is not None:
            for process in processes:
                print(f"metrics   http://{LOCAL}:{ports.metrics + process.index}/metrics ({process.name})", flush=True)
        _tell(chosen, telegram_url)
        await run_programs(chosen, processes, started)


async def _serve(fleet: Fleet, chosen: Fleet, database_url: str, ports: Ports, log_level: str) -> None:
    """Run the ``chosen`` part of a fleet in this process."""
    from app.config.host import host_settings
    from app.deploy.process import has_page
    from app.runtime.ask import RUN_SOCKET, control_socket
    from app.runtime.main import serve, start_logs

    async with _sandbox(fleet, ports.chat_page) as telegram_url:
        metrics = (LOCAL, ports.metrics) if ports.metrics is not None else None
        has_pages = any(has_page(fleet, bot) for bot in fleet.bots)
        listen = pages_address(ports.pages, ports.chat_page, {ports.metrics}) if has_pages else None
        settings = host_settings(
            chosen, database_url=database_url, telegram_url=telegram_url, listen=listen, metrics=metrics
        )
        start_logs(settings, fleet.environ, "text", log_level)
        if ports.metrics is not None:
            print(f"metrics   http://{LOCAL}:{ports.metrics}/metrics", flush=True)
        _tell(chosen, telegram_url)
        await serve(settings, control_socket(fleet.path.parent / RUN_SOCKET))


def _tell(fleet: Fleet, telegram_url: str | None) -> None:
    """Say what is started, and where learners find it."""
    for bot in fleet.bots:
        print(f"bot       {bot.name}: courses in {fleet.scripts / bot.folder}", flush=True)
    if telegram_url is not None:
        print(f"chat page {telegram_url}  <- open this and talk to the bots", flush=True)
    print("stop      Ctrl+C", flush=True)


def pages_address(wanted: int | None, chat_page: int, taken: Collection[int | None] = ()) -> tuple[str, int]:
    """Return where pages are served: at the port asked for, else after the chat page if that is free, else anywhere.

    A port that stays the same lets buttons of earlier runs work. Those ``taken`` will be used by others, who do not
    listen there yet.
    """
    if wanted is not None:
        return LOCAL, wanted
    found = _free_port((chat_page + 1) % 65536 if chat_page else 0)
    while found in taken:
        found = _free_port(0)
    return LOCAL, found


def _free_port(wanted: int) -> int:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL, wanted))
        except OSError:
            probe.bind((LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


def _look_for_containers(fleet: Fleet, names: list[str]) -> None:
    """Warn of containers that run the same bots, as soon as the engine tells; nobody waits for it."""
    import threading

    if not fleet.sandbox and (fleet.path.parent / "compose.yaml").exists():  # else they have nothing to quarrel about
        threading.Thread(target=_warn_of_containers, args=(fleet, names), daemon=True).start()


def _warn_of_containers(fleet: Fleet, names: list[str]) -> None:
    from app.config.host import select_bots
    from app.deploy.docker import Engine
    from app.deploy.project import Project
    from app.errors import FlotillaError

    try:
        project = Project.of(fleet.path, os.environ).name
        with Engine.connect(os.environ) as engine:
            running = {one.service for one in engine.containers(project) if one.is_running}
    except FlotillaError:
        return
    if both := [bot.name for bot in select_bots(fleet, names) if bot.service in running]:
        text = f"containers of project {project!r} run {', '.join(both)}, too; Telegram gives updates to one program"
        print(f"warning   {text}; end this run, or stop them: flotilla stop --in containers", flush=True)


@contextlib.contextmanager
def _alone(fleet: Fleet) -> Iterator[None]:
    """Refuse a second run of a fleet in the sandbox: its bots would only stand by, beside a chat page of their own."""
    if not fleet.sandbox:
        yield
        return
    import fcntl

    from app.errors import FlotillaError

    folder = fleet.path.parent / ".flotilla"
    folder.mkdir(exist_ok=True)
    with (folder / "run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = fleet.path.parent.resolve()
            raise FlotillaError(f"the fleet of {str(where)!r} is running already; stop that run first") from None
        yield


@contextlib.contextmanager
def _database(fleet: Fleet, wait: float, max_connections: int) -> Iterator[str]:
    import asyncio

    from app.cli.migrate import countdown
    from app.store.connection import seldom, wait_until_ready
    from app.store.migrate import migrate

    url = fleet.environ.get("DATABASE_URL")
    if url:
        print("database  the one in DATABASE_URL", flush=True)
        asyncio.run(wait_until_ready(url, wait, seldom(countdown)))
        migrate(url)
        yield url
        return
    from app.store.embedded import EmbeddedPostgres

    folder = fleet.path.parent / ".flotilla" / "postgres"
    print(f"database  embedded PostgreSQL in {folder}", flush=True)
    with EmbeddedPostgres(folder, max_connections=max_connections) as url:
        migrate(url)
        yield url


@contextlib.asynccontextmanager
async def _sandbox(fleet: Fleet, port: int) -> AsyncIterator[str | None]:
    if not fleet.sandbox:
        yield None
        return
    from app.cli.sandbox import running_sandbox
    from app.config.tokens import ALERTS, sandbox_token

    names = [bot.name for bot in fleet.bots] + ([ALERTS] if fleet.alerts else [])
    async with running_sandbox(LOCAL, port, [sandbox_token(name) for name in names]) as url:
        yield url
