"""How to connect: parameters, the database's name in messages, and waiting until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.store.errors import StoreError, StoreUnavailable, reason_of

KEEPALIVES = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 6000,
}
"""A cut network is noticed within ten seconds."""

REMEDIES = (
    ("password authentication failed", "put the right user and password into DATABASE_URL"),
    ("no password supplied", "put the password into DATABASE_URL"),
    ("failed to resolve host", "correct the host in DATABASE_URL"),
    ("could not translate host name", "correct the host in DATABASE_URL"),
    ("refused", "start PostgreSQL, or correct host and port in DATABASE_URL"),
    ("No such file or directory", "start PostgreSQL, or correct the socket folder in DATABASE_URL"),
    ("timeout", "check the network, the firewall and the host in DATABASE_URL"),
    ("starting up", "wait until PostgreSQL has finished its recovery"),
    ("too many", "raise max_connections of PostgreSQL, or run fewer bots"),
    ("database", "create the database, or correct its name in DATABASE_URL"),
    ("role", "create the user, or correct it in DATABASE_URL"),
    ("pg_hba.conf", "admit this host in pg_hba.conf of PostgreSQL"),
)
"""What PostgreSQL or libpq say, and what to do; the first match counts."""

# A host that stops in mid-turn, or vanishes from the network, must not keep its locks for longer than that either.
# Keepalives are not sent while something else waits for its receipt, a notification for example.
SESSION = """
    SET tcp_user_timeout = '6s';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 2;
    SET idle_in_transaction_session_timeout = '30s'
"""

TELL_SECONDS = 10.0

PAUSE = 1.0
"""Seconds between two attempts."""

Connect = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection]]
"""Lends a connection; what is not committed by the end of the block is rolled back."""

Notify = Callable[[float, str], None]
"""Told before each pause: seconds that remain, and why the database did not answer."""


def parameters_of(database_url: str) -> dict[str, Any]:
    """Return the connection parameters of the URL (or ``key=value`` text) with keepalives; its own win.

    Raises ``StoreError``, without the text of the URL, because that may hold a password.
    """
    try:
        return {**KEEPALIVES, "connect_timeout": 5, **conninfo_to_dict(database_url)}
    except psycopg.Error:
        text = "DATABASE_URL is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
        raise StoreError(text) from None


def place_of(database_url: str) -> str:
    """Return how messages call the database: its name, host and user, never the password."""
    parameters = parameters_of(database_url)
    user = parameters.get("user", "")
    name = parameters.get("dbname") or user
    host = parameters.get("host") or parameters.get("hostaddr") or "localhost"
    return f"database {name!r} at {host!r} (user {user!r})"


def seldom(notify: Notify) -> Notify:
    """Return a ``notify`` that tells a new reason at once, and the same one every ten seconds."""
    told: tuple[str, float] | None = None

    def tell(remaining: float, reason: str) -> None:
        nonlocal told
        if told is None or told[0] != reason or told[1] - remaining >= TELL_SECONDS:
            told = reason, remaining
            notify(remaining, reason)

    return tell


async def wait_until_ready(database_url: str, timeout: float, notify: Notify) -> None:  # noqa: ASYNC109
    """Return once the database accepts a connection; try for ``timeout`` seconds, once a second.

    Raises ``StoreUnavailable`` with the last reason and how to fix it.
    """
    parameters = parameters_of(database_url)
    deadline = monotonic() + timeout
    while (reason := await _refusal(parameters)) is not None:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise StoreUnavailable(f"{place_of(database_url)} does not answer: {reason}; {_remedy(reason)}")
        notify(remaining, reason)
        await asyncio.sleep(min(PAUSE, remaining))


async def _refusal(parameters: dict[str, Any]) -> str | None:
    try:
        connection = await psycopg.AsyncConnection.connect(**parameters)
    except psycopg.Error as error:
        return reason_of(error)
    await connection.close()
    return None


def _remedy(reason: str) -> str:
    known = (remedy for sign, remedy in REMEDIES if sign in reason)
    return next(known, "check DATABASE_URL and the log of PostgreSQL")
