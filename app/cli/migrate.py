"""``flotilla migrate``: bring the database to the schema of this version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

DATABASE_WAIT_SECONDS = 60.0


def migrate(
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", show_envvar=True, help="The database.")] = "",
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
        _migrate(found)


def _migrate(url: str) -> None:
    import asyncio

    from app.store.connection import seldom, wait_until_ready
    from app.store.migrate import migrate as apply_migrations

    asyncio.run(wait_until_ready(url, DATABASE_WAIT_SECONDS, seldom(countdown)))
    applied = apply_migrations(url)
    print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")


def countdown(remaining: float, reason: str) -> None:
    """Tell that the database is waited for, and how long still."""
    print(f"waiting for the database ({reason}), {remaining:.0f} s left", flush=True)
