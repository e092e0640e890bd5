"""What the old program left in a database, and putting chats in its place: all in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import psycopg
from psycopg.rows import class_row

from app.store.connection import SESSION, parameters_of, place_of
from app.store.errors import StoreError, store_errors
from app.store.rows import Json
from app.store.turn import columns_of

_BATCH = 5000
"""Rows that are read at once."""

# Hosts that run meanwhile wait until the adoption is committed; it takes seconds.
_LOCK = "LOCK TABLE chat, waiting_element IN SHARE ROW EXCLUSIVE MODE"

_TIME_ZONE = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %(name)s)"

_SERVER_TIME_ZONE = "SELECT current_setting('TimeZone')"

_BOTNAMES = (
    "SELECT botname, count(DISTINCT chat_id) FROM run WHERE botname IS NOT NULL GROUP BY botname ORDER BY botname"
)

_RUNS = """
    SELECT run_id, chat_id, username, botname, course_id, coalesce(is_ended, false) AS is_ended, date_inserted
    FROM run WHERE botname = ANY (%(botnames)s::text[]) AND chat_id IS NOT NULL AND course_id IS NOT NULL
    ORDER BY chat_id, run_id
"""

_ROWS = """
    SELECT conversation_id, chat_id, course_id, element_id, element_type, role, score, maxscore, run_id, date_inserted
    FROM conversation
    WHERE chat_id IN (SELECT chat_id FROM run WHERE botname = ANY (%(botnames)s::text[])) AND element_id IS NOT NULL
    ORDER BY chat_id, conversation_id
"""

_SNAPSHOTS = """
    SELECT conversation_id, json FROM conversation WHERE conversation_id = ANY (%(conversation_ids)s::integer[])
"""

_WAITS = """
    SELECT waiting_element_id AS wait_id, chat_id, botname, course_id, element_id,
        waiting_till_date AT TIME ZONE %(time_zone)s AS due_at
    FROM waiting_element
    WHERE botname = ANY (%(botnames)s::text[]) AND is_waiting AND due_at IS NULL AND waiting_till_date IS NOT NULL
    ORDER BY waiting_element_id
"""

_CHATS = """
    SELECT botname, chat_id FROM chat WHERE botname = ANY (%(botnames)s::text[]) AND state IS NOT NULL
"""

_ADD_CHAT = """
    INSERT INTO chat (botname, chat_id, username, state)
    SELECT * FROM unnest(%(botname)s::text[], %(chat_id)s::bigint[], %(username)s::text[], %(state)s::jsonb[])
    ON CONFLICT (botname, chat_id) DO UPDATE SET username = excluded.username, state = excluded.state
"""

_TAKE_WAIT = """
    UPDATE waiting_element SET run_id = new.run_id, element_id = new.element_id, due_at = new.due_at
    FROM unnest(
        %(wait_id)s::integer[], %(run_id)s::integer[], %(element_id)s::text[], %(due_at)s::timestamptz[]
    ) AS new (wait_id, run_id, element_id, due_at)
    WHERE waiting_element.waiting_element_id = new.wait_id
"""

_MOVE_ROW = """
    UPDATE conversation SET run_id = new.run_id, botname = new.botname
    FROM unnest(%(conversation_id)s::integer[], %(run_id)s::integer[], %(botname)s::text[])
        AS new (conversation_id, run_id, botname)
    WHERE conversation.conversation_id = new.conversation_id
"""


@dataclass(frozen=True, slots=True)
class OldRun:
    """A row of ``run``."""

    run_id: int
    chat_id: int
    username: str | None
    botname: str
    course_id: str
    is_ended: bool
    date_inserted: datetime | None = None


@dataclass(frozen=True, slots=True)
class OldRow:
    """A row of ``conversation`` without its texts."""

    conversation_id: int
    chat_id: int
    course_id: str | None
    element_id: str
    element_type: str | None
    role: str | None
    score: float | None
    maxscore: float | None
    run_id: int | None
    date_inserted: datetime | None = None


@dataclass(frozen=True, slots=True)
class OldWait:
    """A row of ``waiting_element`` that is not over; ``due_at`` is UTC."""

    wait_id: int
    chat_id: int
    botname: str
    course_id: str | None
    element_id: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class NewChat:
    """The state in which a chat goes on."""

    botname: str
    chat_id: int
    username: str | None
    state: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewWait:
    """A wait as a timer of a run."""

    wait_id: int
    run_id: int
    element_id: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class MovedRow:
    """A row that belongs to another run, of another bot."""

    conversation_id: int
    run_id: int
    botname: str


class Adoption:
    """One transaction; ``commit`` ends it, without that nothing is changed."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def botnames(self) -> dict[str, int]:
        """Return the bots that have runs, with the number of their chats."""
        cursor = await self._connection.execute(_BOTNAMES)
        return dict(await cursor.fetchall())

    async def time_zone(self, name: str | None) -> str:
        """Return the time zone if the server knows it, by default the server's; raises ``StoreError``."""
        if name is None:
            row = await (await self._connection.execute(_SERVER_TIME_ZONE)).fetchone()
            return str(row[0]) if row else "UTC"
        if await (await self._connection.execute(_TIME_ZONE, {"name": name})).fetchone() != (True,):
            raise StoreError(f"there is no time zone {name!r}; write it like Europe/Moscow or UTC")
        return name

    async def runs(self, botnames: Sequence[str]) -> list[OldRun]:
        """Return all runs of the bots, oldest first within a chat."""
        async with self._connection.cursor(row_factory=class_row(OldRun)) as cursor:
            await cursor.execute(_RUNS, {"botnames": list(botnames)})
            return await cursor.fetchall()

    async def rows(self, botnames: Sequence[str]) -> AsyncIterator[tuple[int, list[OldRow]]]:
        """Yield the rows of each chat that has runs of the bots, in order; never all chats at once."""
        async with self._connection.cursor("flotilla_rows", row_factory=class_row(OldRow)) as cursor:
            await cursor.execute(_ROWS, {"botnames": list(botnames)})
            left: list[OldRow] = []
            while batch := await cursor.fetchmany(_BATCH):
                left += batch
                chats = [(chat_id, list(rows)) for chat_id, rows in groupby(left, lambda row: row.chat_id)]
                left = chats.pop()[1]
                for chat in chats:
                    yield chat
            if left:
                yield left[0].chat_id, left

    async def snapshots(self, conversation_ids: Sequence[int]) -> dict[int, str | None]:
        """Return the JSON texts of these rows."""
        cursor = await self._connection.execute(_SNAPSHOTS, {"conversation_ids": list(conversation_ids)})
        return dict(await cursor.fetchall())

    async def waits(self, botnames: Sequence[str], time_zone: str) -> list[OldWait]:
        """Return the bots' waits that are not over and not adopted; the old program wrote its local time."""
        async with self._connection.cursor(row_factory=class_row(OldWait)) as cursor:
            await cursor.execute(_WAITS, {"botnames": list(botnames), "time_zone": time_zone})
            return await cursor.fetchall()

    async def known_chats(self, botnames: Sequence[str]) -> set[tuple[str, int]]:
        """Return the chats (botname, chat id) that have a state already."""
        cursor = await self._connection.execute(_CHATS, {"botnames": list(botnames)})
        return set(await cursor.fetchall())

    async def commit(self, chats: Sequence[NewChat], waits: Sequence[NewWait], moved: Sequence[MovedRow]) -> None:
        """Write all that and commit."""
        async with self._connection.cursor() as cursor:
            for statement, rows in ((_ADD_CHAT, chats), (_TAKE_WAIT, waits), (_MOVE_ROW, moved)):
                for batch in range(0, len(rows), _BATCH):
                    await cursor.execute(statement, columns_of(rows[batch : batch + _BATCH]))
        await self._connection.commit()


@asynccontextmanager
async def adoption(database_url: str, *, is_locked: bool = False) -> AsyncIterator[Adoption]:
    """Begin an adoption; if it ``is_locked``, hosts that would write to a chat wait until it has ended."""
    with store_errors(place_of(database_url)):
        async with await psycopg.AsyncConnection.connect(**parameters_of(database_url), autocommit=True) as connection:
            await connection.execute(SESSION)
            await connection.set_autocommit(False)
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if is_locked:
                await connection.execute(_LOCK)
            try:
                yield Adoption(connection)
            finally:
                await connection.rollback()
