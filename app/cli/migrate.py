"""``flotilla migrate``: bring the database to the schema of this version."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from app.cli.database import DryRunOption, JsonOption, print_json

DATABASE_WAIT_SECONDS = 60.0


def migrate(
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", show_envvar=True, help="The database.")] = "",
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Bring the database up to date.

    Waits for it, and does nothing when it has the schema of this version already.
    """
    from contextlib import ExitStack

    from app.cli.database import container_database
    from app.config.load import read_environment
    from app.errors import FlotillaError

    with ExitStack() as stack:
        url = database_url or read_environment(Path(), os.environ).get("DATABASE_URL", "")
        found = url or stack.enter_context(container_database(Path()))
        if not isinstance(found, str):
            trouble = f" ({found})" if found else ""
            raise FlotillaError(
                "DATABASE_URL is not set, nor is it in .env; set it to postgresql://user:password@host/database, "
                f"or start the database of the fleet's containers{trouble}"
            )
        _migrate(found, as_json=json, dry_run=dry_run)


def _migrate(url: str, *, as_json: bool, dry_run: bool) -> None:
    import asyncio
    from functools import partial

    from app.store.connection import seldom, wait_until_ready
    from app.store.migrate import migrate as apply_migrations
    from app.store.schema import oldest_app_of

    tell = partial(countdown, file=sys.stderr) if as_json else countdown
    asyncio.run(wait_until_ready(url, DATABASE_WAIT_SECONDS, seldom(tell)))
    names = asyncio.run(_missing(url)) if dry_run else apply_migrations(url)
    if as_json:
        done = [{"migration": name, "oldest_app": oldest_app_of(name)} for name in names]
        print_json({"migrations": done, "dry_run": dry_run})
    else:
        word = "would apply" if dry_run else "applied"
        print("\n".join(f"{word} {name}" for name in names) or "the database is up to date")


async def _missing(url: str) -> list[str]:
    """Return the migrations that the database lacks."""
    from app.store.schema import known_migrations
    from app.store.store import Store

    async with await Store.open(url, max_connections=1) as store:
        applied = {migration.migration_id for migration in await store.migrations()}
    return [name for name in known_migrations() if name not in applied]


def countdown(remaining: float, reason: str, file: TextIO | None = None) -> None:
    """Tell that the database is waited for, and how long still."""
    print(f"waiting for the database ({reason}), {remaining:.0f} s left", flush=True, file=file)
