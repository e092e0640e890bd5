"""One poller per bot: locks that the database gives to one connection and takes back when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, LiteralString

import psycopg

from app.store.connection import SESSION, parameters_of, place_of
from app.store.errors import store_errors

PING_INTERVAL = 2.0
"""Seconds between two questions whether the connection still lives."""

PING_TIMEOUT = 8.0
"""Seconds after which a connection without an answer is dead."""

_ACQUIRE = "SELECT pg_try_advisory_lock(hashtextextended('flotilla:' || %(botname)s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('flotilla:' || %(botname)s, 0))"
_PING = "SELECT 1"
_LISTEN = "LISTEN flotilla_timer; LISTEN flotilla_job; LISTEN flotilla_course; LISTEN flotilla_broadcast"


class Channel(StrEnum):
    """What the database announces, with the botname as payload: a timer, job, course or broadcast was written."""

    TIMER = "flotilla_timer"
    JOB = "flotilla_job"
    COURSE = "flotilla_course"
    BROADCAST = "flotilla_broadcast"


class BotLocks:
    """The bots this host may poll, held on one connection of its own.

    When the connection breaks, all locks are gone at once and ``lost`` returns; the next ``acquire`` connects anew. A
    second taker in the same process is refused as one in another process is.
    """

    def __init__(self, database_url: str) -> None:
        self._parameters = parameters_of(database_url)
        self._place = place_of(database_url)
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._held: dict[str, asyncio.Event] = {}
        self._busy = asyncio.Lock()
        self._wakers: dict[tuple[str, str], Callable[[], None]] = {}

    @property
    def held(self) -> frozenset[str]:
        """The bots whose locks this host has."""
        return frozenset(self._held)

    async def acquire(self, botname: str) -> bool:
        """Take the bot's lock unless another host has it; raises ``StoreUnavailable`` when the database is."""
        async with self._busy:
            if botname in self._held:
                return False
            cursor = await self._ask(_ACQUIRE, botname)
            is_ours = await cursor.fetchone() == (True,)
            if is_ours:
                self._held[botname] = self._lost
            return is_ours

    async def release(self, botname: str) -> None:
        """Give the bot's lock back, so that another host can go on; one that is lost already needs nothing."""
        async with self._busy:
            if botname not in self._held or self._connection is None:
                return
            del self._held[botname]
            await self._ask(_RELEASE, botname)

    def on_notify(self, channel: Channel, botname: str, wake: Callable[[], None]) -> None:
        """Call ``wake`` when some process writes such a thing of this bot, at the latest at the next ping.

        Not while there is no connection: who takes a lock anew has to look for what came meanwhile.
        """
        self._wakers[channel, botname] = wake

    async def lost(self, botname: str) -> None:
        """Wait until the bot's lock is lost with its connection; returns at once if it is not held any more."""
        if botname in self._held:
            await self._held[botname].wait()

    async def close(self) -> None:
        """Give all locks back."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._connection is not None:
            await self._drop(self._connection)

    async def _ask(self, query: LiteralString, botname: str) -> psycopg.AsyncCursor[Any]:
        with store_errors(self._place):
            connection = self._connection or await self._connect()
            try:
                return await connection.execute(query, {"botname": botname})
            except psycopg.OperationalError:
                await self._drop(connection)
                raise

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True)
        await connection.execute(SESSION)
        connection.add_notify_handler(self._wake)
        await connection.execute(_LISTEN)
        self._connection = connection
        self._lost = asyncio.Event()
        self._watch = asyncio.create_task(self._ping(connection), name="bot locks")
        return connection

    def _wake(self, notify: psycopg.Notify) -> None:
        wake = self._wakers.get((notify.channel, notify.payload))
        if wake is not None:
            wake()

    async def _ping(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Ask the server for a sign of life until there is none."""
        try:
            while True:
                await asyncio.sleep(PING_INTERVAL)
                async with asyncio.timeout(PING_TIMEOUT):
                    await connection.execute(_PING)
        except (psycopg.Error, TimeoutError):
            await self._drop(connection)

    async def _drop(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.close()
        if connection is self._connection:
            self._connection = None
            self._held.clear()
            self._lost.set()
