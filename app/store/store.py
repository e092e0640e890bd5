"""Every statement of a running bot: turns, the outbox, polls and media files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb, set_json_dumps
from psycopg_pool import AsyncConnectionPool

from app.store import statement
from app.store.connection import SESSION, parameters_of, place_of
from app.store.errors import StoreUnavailable, store_errors
from app.store.rows import DeadUpdate, Json, MediaFile, NewMessage, OutboxMessage, SentPoll, Timer
from app.store.schema import AppliedMigration, SchemaMismatch, require_known
from app.store.turn import Turn, columns_of, with_ids

POOL_TIMEOUT = 10.0
"""Seconds to wait for a free connection."""

LONGEST_CACHED_URL = 2000
"""Bytes; longer links do not fit into an index row."""

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Store:
    """The database of a fleet, as its bots use it; its errors are those of ``app.store.errors``."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection], place: str) -> None:
        self._pool = pool
        self._place = place

    @classmethod
    async def open(cls, database_url: str, *, max_connections: int = 4) -> Store:
        """Connect; raises ``StoreUnavailable`` when the database does not answer."""
        place = place_of(database_url)
        parameters = parameters_of(database_url) | {"autocommit": True, "prepare_threshold": 0}
        with store_errors(place):
            # The pool would try for as long as it may, and then not say why it failed.
            await (await AsyncConnection.connect(**parameters)).close()
        pool = AsyncConnectionPool(
            kwargs=parameters,
            min_size=1,
            max_size=max_connections,
            timeout=POOL_TIMEOUT,
            configure=_configure,
            open=False,
        )
        try:
            with store_errors(place):
                await pool.open(wait=True, timeout=POOL_TIMEOUT)
        except BaseException:
            await pool.close()
            raise
        return cls(pool, place)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection; what is not committed by the end of the block is rolled back."""
        try:
            with store_errors(self._place):
                async with self._pool.connection() as connection:
                    yield connection
                    await connection.rollback()
        except StoreUnavailable:
            # A restarted server has cut all connections: replace them now instead of failing once for each.
            await self._pool.check()
            raise

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for a transaction of statements that need no results of each other: one round trip."""
        async with self._connect() as connection, connection.pipeline():
            await connection.execute(statement.BEGIN)
            yield connection
            await connection.execute(statement.COMMIT)

    @asynccontextmanager
    async def turn(self, botname: str) -> AsyncIterator[Turn]:
        """Begin a turn of this bot; it ends with the block and leaves nothing behind unless it was saved."""
        async with self._connect() as connection:
            yield Turn(connection, botname)

    async def check_schema(self) -> None:
        """Raise ``SchemaMismatch`` unless this program works on the schema of the database."""
        async with self._connect() as connection:
            has_schema = await connection.execute(statement.HAS_SCHEMA)
            if await has_schema.fetchone() != (True,):
                raise SchemaMismatch(f"{self._place} has no tables of Flotilla; run `flotilla migrate`")
            applied = await connection.execute(statement.APPLIED_MIGRATIONS)
            rows = await applied.fetchall()
        require_known([AppliedMigration(*row) for row in rows], self._place)

    async def next_timers(self, botname: str, limit: int) -> list[Timer]:
        """Return the bot's timers that are due, or will be first, in the order of their due times."""
        async with self._connect() as connection, connection.cursor(row_factory=class_row(Timer)) as cursor:
            await cursor.execute(statement.NEXT_TIMERS, {"botname": botname, "limit": limit})
            return await cursor.fetchall()

    async def postpone_timer(self, botname: str, timer_id: int, seconds: float) -> None:
        """Make a timer due again so many seconds from now."""
        await self._execute(statement.POSTPONE_TIMER, {"botname": botname, "timer_id": timer_id, "seconds": seconds})

    async def pending(self, botname: str) -> list[OutboxMessage]:
        """Return the bot's unsent messages in order, without those given up."""
        async with self._connect() as connection, connection.cursor(row_factory=class_row(OutboxMessage)) as cursor:
            await cursor.execute(statement.PENDING, {"botname": botname})
            return await cursor.fetchall()

    async def settle(
        self,
        botname: str,
        sent: Sequence[int],
        polls: Sequence[SentPoll] = (),
        files: Sequence[MediaFile] = (),
    ) -> None:
        """Take sent messages out of the outbox, bind their polls and remember their files: one transaction."""
        scope = {"botname": botname}
        async with self._transaction() as connection:
            await connection.execute(statement.TAKE_OUT, scope | {"outbox_ids": list(sent)})
            if polls:
                await connection.execute(statement.BIND_POLLS, scope | columns_of(polls))
            if files:
                await connection.execute(
                    statement.REMEMBER_FILES, scope | {"longest": LONGEST_CACHED_URL} | columns_of(files)
                )

    async def mark_failed(self, botname: str, outbox_id: int, error: str) -> None:
        """Give up a message that Telegram refuses; it stays in the outbox with its error, and is not sent again."""
        parameters = {"botname": botname, "outbox_id": outbox_id, "error": _storable(error)}
        await self._execute(statement.MARK_FAILED, parameters)

    async def replace_params(self, botname: str, outbox_id: int, params: Json) -> None:
        """Change what is left to send of a message that is sent in parts."""
        await self._execute(
            statement.REPLACE_PARAMS, {"botname": botname, "outbox_id": outbox_id, "params": Jsonb(params)}
        )

    async def block_chat(self, botname: str, chat_id: int, newest: int) -> int:
        """Drop the chat's unsent messages up to the id ``newest``, and return how many.

        The chat is marked as blocked by its person, unless there are newer messages: then they have come back already.
        """
        parameters = {"botname": botname, "chat_id": chat_id, "newest": newest}
        async with self._transaction() as connection:
            await connection.execute(statement.BLOCK_CHAT, parameters)
            dropped = await connection.execute(statement.DROP_QUEUE, parameters)
        return dropped.rowcount

    async def media_files(self, botname: str, urls: Sequence[str]) -> dict[str, MediaFile]:
        """Return those of the links whose file this bot has already sent, by link."""
        async with self._connect() as connection, connection.cursor(row_factory=class_row(MediaFile)) as cursor:
            await cursor.execute(statement.FIND_FILES, {"botname": botname, "urls": list(urls)})
            return {file.url: file for file in await cursor.fetchall()}

    async def bury(self, botname: str, dead: DeadUpdate, apology: NewMessage | None = None) -> OutboxMessage | None:
        """Set an update aside as dead and seen, and queue the apology: one transaction.

        Characters that PostgreSQL cannot hold are replaced, for they may be what the update died of.
        """
        scope = {"botname": botname}
        parameters = {
            "update_id": dead.update_id,
            "chat_id": dead.chat_id,
            "raw": _storable(encode(dead.raw)),
            "error": _storable(dead.error),
        }
        async with self._transaction() as connection:
            await connection.execute(statement.MARK_SEEN, scope | {"update_ids": [dead.update_id]})
            await connection.execute(statement.BURY, scope | parameters)
            added = (
                await connection.execute(statement.ADD_TO_OUTBOX, scope | columns_of([apology])) if apology else None
            )
        return with_ids([apology], await added.fetchall())[0] if apology and added else None

    async def purge(self, botname: str, older_than: timedelta = timedelta(days=2)) -> None:
        """Forget updates seen, and polls superseded by a later one of their run, longer ago than this."""
        parameters = {"botname": botname, "older_than": older_than}
        async with self._transaction() as connection:
            await connection.execute(statement.FORGET_UPDATES, parameters)
            await connection.execute(statement.FORGET_POLLS, parameters)

    async def _execute(self, query: LiteralString, parameters: Mapping[str, Any]) -> None:
        async with self._connect() as connection:
            await connection.execute(query, parameters)


async def _configure(connection: AsyncConnection) -> None:
    set_json_dumps(encode, connection)
    await connection.execute(SESSION, prepare=False)


def _storable(text: str) -> str:
    r"""Return the text, or JSON text, without NUL (plain or written ``\u0000``) and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").replace("\\u0000", "\\ufffd").encode("utf-8", "replace").decode()
