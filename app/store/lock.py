"""Who leads which bot, and which hosts live: locks that the database gives to one connection and takes back with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import StrEnum
from typing import Any, LiteralString

import psycopg

from app.pause import pause
from app.store.connection import SESSION, parameters_of, place_of
from app.store.errors import store_errors

PING_INTERVAL = 2.0
"""Seconds between two questions whether the connection still lives."""

GATHER_SECONDS = 0.01
"""How long an announcement waits for others."""

PING_TIMEOUT = 8.0
"""Seconds after which a connection without an answer is dead."""

_ACQUIRE = """
    SELECT botname, pg_try_advisory_lock(hashtextextended('flotilla:' || botname, 0))
    FROM unnest(%(botnames)s::text[]) AS botname
"""
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('flotilla:' || %(botname)s, 0))"
_WATCH = "SELECT pg_try_advisory_lock(hashtextextended('flotilla watch', 0))"
_LIVE = "SELECT pg_advisory_lock(hashtextextended('flotilla host:' || %(host)s, 0))"
_PING = "SELECT 1"
_LISTEN = """
    LISTEN flotilla_timer; LISTEN flotilla_job; LISTEN flotilla_course; LISTEN flotilla_broadcast;
    LISTEN flotilla_outbox
"""


class Channel(StrEnum):
    """What the database announces, with the botname as payload: a timer, job, course or broadcast was written.

    The payload of ``OUTBOX`` is ``HOST BOTNAME``: other hosts have added messages that this one is to send.
    """

    TIMER = "flotilla_timer"
    JOB = "flotilla_job"
    COURSE = "flotilla_course"
    BROADCAST = "flotilla_broadcast"
    OUTBOX = "flotilla_outbox"


class BotLocks:
    """The bots this host leads, held on one connection of its own; while that lives, the host is alive for others.

    When the connection breaks, all locks are gone at once; the next ``acquire`` or ``live`` connects anew. A second
    taker in the same process is refused as one in another process is.
    """

    def __init__(self, database_url: str, host: str) -> None:
        self.host = host
        self._parameters = parameters_of(database_url)
        self._place = place_of(database_url)
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._living: set[str] = set()
        self._held: set[str] = set()
        self._wanted: dict[str, asyncio.Event | None] = {}
        self._asking: asyncio.Task[frozenset[str]] | None = None
        self._busy = asyncio.Lock()
        self._is_watching = False
        self._wakers: dict[tuple[str, str], Callable[[], None]] = {}

    @property
    def held(self) -> frozenset[str]:
        """The bots whose locks this host has."""
        return frozenset(self._held)

    async def live(self, botname: str) -> asyncio.Event | None:
        """Let the bot take part here; return an event that is set when this host is not alive for others any more.

        ``None`` while another bot of this process has that name, until its ``leave``: they would send the same
        messages. Raises ``StoreUnavailable`` when the database is.
        """
        async with self._busy:
            if botname in self._living:
                return None
            if self._connection is None:
                with store_errors(self._place):
                    await self._connect()
            self._living.add(botname)
            return self._lost

    def leave(self, botname: str) -> None:
        """Let the bot take part no more; what it holds is given back by ``release``."""
        self._living.discard(botname)

    async def acquire(self, botname: str, death: asyncio.Event | None = None) -> bool:
        """Take the bot's lock unless another host has it; raises ``StoreUnavailable`` when the database is.

        Not taken either after the ``death`` that ``live`` returned: that life of the host has ended. Those who ask
        at the same time share a question: a host that stands by for a thousand bots asks once a second.
        """
        if botname in self._held or botname in self._wanted:
            return False
        self._wanted[botname] = death
        if self._asking is None:
            self._asking = asyncio.create_task(self._take_wanted())
        return botname in await asyncio.shield(self._asking)

    async def _take_wanted(self) -> frozenset[str]:
        """Take those of the wanted locks that are free, and return whose they are."""
        async with self._busy:
            wanted, self._wanted, self._asking = self._wanted, {}, None
            botnames = [name for name, death in wanted.items() if death is None or not death.is_set()]
            if not botnames:
                return frozenset()
            cursor = await self._ask(_ACQUIRE, {"botnames": botnames})
            taken = frozenset([botname for botname, is_ours in await cursor.fetchall() if is_ours])
            self._held |= taken
            return taken

    async def release(self, botname: str) -> None:
        """Give the bot's lock back, so that another host can go on; one that is lost already needs nothing."""
        async with self._busy:
            if botname not in self._held or self._connection is None:
                return
            self._held.remove(botname)
            await self._ask(_RELEASE, {"botname": botname})

    async def watch(self) -> bool:
        """Take the one watch over the fleet unless another host has it; tell whether it is this host's now.

        From then on this host is alive for others. Raises ``StoreUnavailable`` when the database is.
        """
        async with self._busy:
            if self._connection is None or not self._is_watching:
                cursor = await self._ask(_WATCH, {})
                self._is_watching = await cursor.fetchone() == (True,)
            return self._is_watching

    def on_notify(self, channel: Channel, botname: str, wake: Callable[[], None]) -> None:
        """Call ``wake`` when some process writes such a thing of this bot.

        Not while there is no connection: who takes a lock anew has to look for what came meanwhile.
        """
        payload = f"{self.host} {botname}" if channel is Channel.OUTBOX else botname
        self._wakers[channel, payload] = wake

    async def close(self) -> None:
        """Give all locks back."""
        if self._connection is not None:
            await self._drop(self._connection)  # first: to be cancelled, a statement takes its time
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def _ask(self, query: LiteralString, parameters: dict[str, Any]) -> psycopg.AsyncCursor[Any]:
        with store_errors(self._place):
            connection = self._connection or await self._connect()
            try:
                return await connection.execute(query, parameters)
            except psycopg.OperationalError:
                await self._drop(connection)
                raise

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True)
        try:
            await connection.execute(SESSION)
            connection.add_notify_handler(self._wake)
            await connection.execute(_LISTEN)
            await connection.execute(_LIVE, {"host": self.host})
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self._lost = asyncio.Event()
        self._watch = asyncio.create_task(self._ping(connection), name="bot locks")
        return connection

    def _wake(self, notify: psycopg.Notify) -> None:
        wake = self._wakers.get((notify.channel, notify.payload))
        if wake is not None:
            wake()

    async def _ping(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Ask the server for a sign of life until there is none; also what it has announced comes with the answer."""
        try:
            while True:
                await _readable(connection.fileno(), PING_INTERVAL)
                # What is announced by many at once is read at once.
                await asyncio.sleep(GATHER_SECONDS)
                async with asyncio.timeout(PING_TIMEOUT):
                    await connection.execute(_PING)
        except (psycopg.Error, OSError):  # no answer in time, or the process has no descriptor left to wait with
            await self._drop(connection)

    async def _drop(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.close()
        if connection is self._connection:
            self._connection = None
            self._held.clear()
            self._is_watching = False
            self._lost.set()


async def _readable(descriptor: int, seconds: float) -> None:
    """Wait until there is something to read, at most so long; whoever else waits for the same is not disturbed."""
    own, loop = os.dup(descriptor), asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(own, came.set)
    try:
        await pause(seconds, came)
    finally:
        loop.remove_reader(own)
        os.close(own)
