"""Which bot and which database a command means that looks into the store."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Bot, Fleet
    from app.store.store import Store

T = TypeVar("T")

DEFAULT_CONFIG = Path("bots_config.yaml")

NO_DATABASE = (
    "which database? there is no DATABASE_URL in the environment or in {env}, and none in {folder}; set DATABASE_URL, "
    "or start the fleet once, with `flotilla run` or in containers{trouble}"
)

BotArgument = Annotated[
    str, typer.Argument(metavar="BOT", help="The bot's name in the config; without a config its bot_name.")
]
ConfigOption = Annotated[Path | None, typer.Option(help=f"The fleet. [default: {DEFAULT_CONFIG}]")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


def botname_of(name: str, config: Path | None) -> str:
    """Return what the database calls a bot of the config; without a config it is the name itself.

    Raises ``InputError`` when the config is wrong, ``FlotillaError`` when it has no such bot.
    """
    found = bot_in(config, name)
    return found[1].bot_name if found else name


def bot_in(config: Path | None, name: str) -> tuple[Fleet, Bot] | None:
    """Return the fleet and its bot of this name or bot_name; ``None`` when there is no config.

    Raises as ``botname_of`` does.
    """
    path = config or DEFAULT_CONFIG
    if config is None and not path.exists():
        return None
    from app.config.load import load_fleet
    from app.course.report import nearest
    from app.deploy.target import UnknownNameError

    fleet = load_fleet(path, os.environ, need_secrets=False)
    bots = {bot.bot_name: bot for bot in fleet.bots} | {bot.name: bot for bot in fleet.bots}
    if name not in bots:
        remedy = nearest(name, bots, f"it has {', '.join(sorted(bot.name for bot in fleet.bots))}")
        raise UnknownNameError(f"{path}: there is no bot {name!r}; {remedy}")
    return fleet, bots[name]


def with_store(config: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do the work on the fleet's database, and say on standard error if that is none of ``DATABASE_URL``.

    It is the one of ``DATABASE_URL`` (the environment, or ``.env`` beside the config), else one that runs: in the
    containers of the fleet, or in ``.flotilla/`` beside the config for ``flotilla run``; else the latter is started.
    """
    import asyncio

    with database((config or DEFAULT_CONFIG).parent) as database_url:
        return asyncio.run(_work(database_url, work))


async def _work(database_url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    from app.store.store import Store

    async with await Store.open(database_url, max_connections=1) as store:
        await store.check_schema()
        return await work(store)


@contextlib.contextmanager
def database(folder: Path) -> Iterator[str]:
    """Lend the URL of the database of the fleet whose config is in this folder; see ``with_store``."""
    from app.config.load import read_environment

    embedded = folder / ".flotilla" / "postgres"
    if url := read_environment(folder, os.environ).get("DATABASE_URL"):
        yield url
        return
    with contextlib.ExitStack() as stack:
        found = None if (embedded / "postmaster.pid").exists() else stack.enter_context(container_database(folder))
        if isinstance(found, str):
            yield found
        elif embedded.is_dir():
            yield stack.enter_context(_embedded(embedded))
        else:
            trouble = f" ({found})" if found else ""
            raise FlotillaError(NO_DATABASE.format(env=folder / ".env", folder=folder / ".flotilla", trouble=trouble))


@contextlib.contextmanager
def container_database(folder: Path) -> Iterator[str | FlotillaError | None]:
    """Lend the URL of the database of the fleet's containers; an error when the engine cannot tell.

    ``None`` when no such database runs, or nobody has generated a ``compose.yaml`` in the folder.
    """
    if not (folder / "compose.yaml").exists():
        yield None
        return
    from app.config.load import read_environment
    from app.deploy.docker import Engine
    from app.deploy.postgres import running_postgres, way_to
    from app.deploy.project import Project

    try:
        project = Project.of(folder / DEFAULT_CONFIG, os.environ)
        with Engine.connect(os.environ) as engine:
            container = running_postgres(engine, project)
    except FlotillaError as error:
        yield error
        return
    if container is None:
        yield None
        return
    print(f"database  container {container.name}", file=sys.stderr)
    with way_to(container, read_environment(folder, os.environ)) as url:
        yield url


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    from app.store.embedded import EmbeddedPostgres
    from app.store.migrate import migrate

    print(f"database  {folder}", file=sys.stderr)
    with EmbeddedPostgres(folder) as url:
        migrate(url)
        yield url


def read_text(file: Path) -> str:
    """Return the text of a file, or of standard input for ``-``; a byte order mark is no part of it.

    Raises ``FlotillaError`` when it cannot be read.
    """
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FlotillaError(f"{file}: is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise FlotillaError(f"{file}: cannot be read: {error.strerror}; name a file that exists") from None


def print_json(value: Any) -> None:
    """Print a value as JSON; what JSON has no word for (dates) as text."""
    from json import dumps

    print(dumps(value, ensure_ascii=False, indent=2, default=str))
