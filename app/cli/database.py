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
    "or start the fleet once with `flotilla run`, or, if it runs in containers, put "
    "`docker compose run --rm migrate` in front of this command and name the bot by its bot_name"
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

    fleet = load_fleet(path, os.environ, need_secrets=False)
    bots = {bot.bot_name: bot for bot in fleet.bots} | {bot.name: bot for bot in fleet.bots}
    if name not in bots:
        remedy = nearest(name, bots, f"it has {', '.join(sorted(bot.name for bot in fleet.bots))}")
        raise FlotillaError(f"{path}: there is no bot {name!r}; {remedy}")
    return fleet, bots[name]


def with_store(config: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do the work on the fleet's database, and say on standard error if that is the embedded one.

    It is the one of ``DATABASE_URL`` (the environment, or ``.env`` beside the config), else the one in ``.flotilla/``
    beside the config, which may be in use by ``flotilla run`` and is started otherwise.
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
    elif embedded.is_dir():
        from app.store.embedded import EmbeddedPostgres
        from app.store.migrate import migrate

        print(f"database  {embedded}", file=sys.stderr)
        with EmbeddedPostgres(embedded) as url:
            migrate(url)
            yield url
    else:
        raise FlotillaError(NO_DATABASE.format(env=folder / ".env", folder=folder / ".flotilla"))


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
