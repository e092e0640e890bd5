"""Every statement of a running bot beside its turns: timers, jobs, the outbox, access, courses."""

from __future__ import annotations

import asyncio
import json
import reprlib
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString, TypeVar
from uuid import uuid4

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb, set_json_dumps
from psycopg_pool import AsyncConnectionPool

from app.store import statement
from app.store.broadcast import Broadcasts
from app.store.connection import SESSION, parameters_of, place_of
from app.store.errors import StoreUnavailable, store_errors
from app.store.pin import Pins
from app.store.rows import (
    Backlog,
    Ban,
    BotFigures,
    ChatRecord,
    DatabaseFigures,
    DeadUpdate,
    Job,
    Json,
    MediaFile,
    NewMessage,
    OutboxMessage,
    Participant,
    RunOwner,
    RunPlace,
    Said,
    SentPoll,
    Standing,
    StoredCourse,
    Timer,
)
from app.store.schema import AppliedMigration, require_known
from app.store.stop import Stops
from app.store.turn import Turn, columns_of
from app.store.watch import Watch

POOL_TIMEOUT = 10.0
"""Seconds to wait for a free connection."""

CLOSE_SECONDS = 2.0
"""How long the pool may take to end what it has begun, while a silent server holds it up."""

RECONNECT_SECONDS = 3.0
"""After so long the pool begins its attempts to connect anew, as the pauses between them are doubled each time."""

LONGEST_CACHED_URL = 2000
"""Bytes; longer links do not fit into an index row."""

WAITS_KEPT = timedelta(days=90)
"""How long waits that are over stay for reports."""

FAILURES_KEPT = timedelta(days=30)
"""How long messages given up and dead updates stay."""

T = TypeVar("T")

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_strictly = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Store:
    """The database of a fleet, as its bots use it; its errors are those of ``app.store.errors``.

    ``host`` is the id under which this process sends messages; it counts as alive while its ``BotLocks`` say so.
    """

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection], place: str) -> None:
        self._pool = pool
        self._place = place
        self.broadcasts = Broadcasts(self._connect)
        self.watch = Watch(self._connect)
        self.pins = Pins(self._connect)
        self.stops = Stops(self._connect)
        self.host = uuid4().hex[:12]

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
            reconnect_timeout=RECONNECT_SECONDS,
            reconnect_failed=_connect_again,
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
        await self._pool.close(CLOSE_SECONDS)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection; what is not committed by the end of the block is rolled back."""
        try:
            with store_errors(self._place):
                async with self._lent() as connection:
                    yield connection
                    await connection.rollback()
        except StoreUnavailable:
            # A restarted server has cut all connections: replace them now instead of failing once for each.
            await _whole(self._pool.check())
            raise

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[AsyncConnection]:
        task = asyncio.current_task()
        requests = task.cancelling() if task is not None else 0
        connection = await self._pool.getconn()
        try:
            # The pool waits by ``wait_for``, which in Python 3.11 loses a cancellation that comes with the connection.
            if task is not None and task.cancelling() > requests:
                raise asyncio.CancelledError
            async with connection:
                yield connection
        finally:
            await _whole(self._pool.putconn(connection))

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
            yield Turn(connection, botname, self.host)

    async def check_schema(self) -> None:
        """Raise ``SchemaMismatch`` unless this program works on the schema of the database."""
        require_known(await self.migrations(), self._place)

    async def migrations(self) -> list[AppliedMigration]:
        """Return the migrations that the database has; none without our tables."""
        async with self._connect() as connection:
            has_schema = await connection.execute(statement.HAS_SCHEMA)
            if await has_schema.fetchone() != (True,):
                return []
            applied = await connection.execute(statement.APPLIED_MIGRATIONS)
            return [AppliedMigration(*row) for row in await applied.fetchall()]

    async def next_timers(self, botname: str, limit: int) -> list[Timer]:
        """Return the bot's timers that are due, or will be first, in the order of their due times."""
        return await self._fetch(Timer, statement.NEXT_TIMERS, {"botname": botname, "limit": limit})

    async def postpone_timer(self, botname: str, timer_id: int, seconds: float) -> None:
        """Make a timer due again so many seconds from now."""
        await self._execute(statement.POSTPONE_TIMER, {"botname": botname, "timer_id": timer_id, "seconds": seconds})

    async def claim_jobs(self, botname: str, limit: int, lease_seconds: float) -> list[Job]:
        """Lease up to so many free jobs of the bot, the oldest first, and at most one of each chat.

        A job is free when nobody has a lease of it that still runs, and when no older job of its chat is left.
        """
        parameters = {"botname": botname, "limit": limit, "seconds": lease_seconds}
        claimed = await self._fetch(Job, statement.CLAIM_JOBS, parameters)
        return sorted(claimed, key=lambda job: job.job_id)

    async def extend_jobs(self, botname: str, job_ids: Sequence[int], seconds: float) -> frozenset[int]:
        """Let the leases of these jobs end so many seconds from now; return those that still are to be done.

        The others were cancelled or taken out. This is also how a job is put off: nobody claims it until then.
        """
        parameters = {"botname": botname, "job_ids": list(job_ids), "seconds": seconds}
        async with self._connect() as connection:
            cursor = await connection.execute(statement.EXTEND_JOBS, parameters)
            return frozenset([job_id for (job_id,) in await cursor.fetchall()])

    async def release_jobs(self, botname: str) -> None:
        """Void all leases of the bot: who takes it over goes on with what its last host was doing."""
        await self._execute(statement.RELEASE_JOBS, {"botname": botname})

    async def set_job_message(self, botname: str, job_id: int, message_id: int) -> None:
        """Remember the message that shows the job's reply so far, so that a crash goes on in the same."""
        parameters = {"botname": botname, "job_id": job_id, "message_id": message_id}
        await self._execute(statement.SET_JOB_MESSAGE, parameters)

    async def pending(self, botname: str, chat_ids: Collection[int] | None = None) -> list[OutboxMessage]:
        """Return the bot's unsent messages that are ours to send, or those of these chats, in order.

        Those given up are not among them.
        """
        parameters = self._scope(botname) | {"chat_ids": None if chat_ids is None else list(chat_ids)}
        return await self._fetch(OutboxMessage, statement.PENDING, parameters)

    async def take_over_chats(self, botname: str) -> frozenset[int]:
        """Become the sender of all chats with unsent messages whose sender is gone, and return them."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.TAKE_OVER_CHATS, self._scope(botname))
            return frozenset([chat_id for (chat_id,) in await cursor.fetchall()])

    async def stranded(self, botnames: Sequence[str]) -> list[str]:
        """Return those of the bots that have unsent messages whose sender is gone."""
        parameters = {"botnames": list(botnames), "sender": self.host}
        async with self._connect() as connection:
            cursor = await connection.execute(statement.FIND_STRANDED, parameters)
            return [botname for (botname,) in await cursor.fetchall()]

    async def is_foreign(self, botname: str, chat_id: int) -> bool:
        """Tell whether the chat has unsent messages that are not ours to send."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.IS_FOREIGN, self._scope(botname) | {"chat_id": chat_id})
            return await cursor.fetchone() == (True,)

    async def leave_chats(self, botname: str) -> None:
        """Leave the bot's messages that are ours to send to others, because the bot does not run here any more."""
        await self._execute(statement.LEAVE_CHATS, self._scope(botname))

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
            # A turn that holds the chat may be about to commit newer messages; only the next statement sees them.
            await connection.execute(statement.HOLD_CHATS, {"botname": botname, "chat_ids": [chat_id]})
            await connection.execute(statement.BLOCK_CHAT, parameters)
            await connection.execute(statement.BLOCK_TARGETS, parameters)
            dropped = await connection.execute(statement.DROP_QUEUE, parameters)
        return dropped.rowcount

    async def media_files(self, botname: str, urls: Sequence[str]) -> dict[str, MediaFile]:
        """Return those of the links whose file this bot has already sent, by link."""
        files = await self._fetch(MediaFile, statement.FIND_FILES, {"botname": botname, "urls": list(urls)})
        return {file.url: file for file in files}

    async def bury(
        self, botname: str, dead: DeadUpdate, apology: NewMessage | None = None
    ) -> tuple[list[OutboxMessage], Backlog]:
        """Set an update aside as dead and seen, and queue the apology: one transaction; return what is ours to send.

        Characters that PostgreSQL cannot hold are replaced, for they may be what the update died of; an update that
        holds NaN or is nested too deeply is kept as the text of its beginning.
        """
        columns = {
            "update_id": dead.update_id,
            "chat_id": dead.chat_id,
            "raw": _storable(_json_of(dead.raw)),
            "error": _storable(dead.error),
        }
        async with self.turn(botname) as turn:
            return await turn.bury(columns, apology), turn.backlog

    async def newest_update(self, botname: str) -> datetime | None:
        """Return when an update of the bot was last taken in, by whatever host; it looks at those with high ids."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.NEWEST_UPDATE, {"botname": botname})
            row = await cursor.fetchone()
            return row[0] if row is not None else None

    async def purge(self, botname: str, older_than: timedelta = timedelta(days=2)) -> None:
        """Forget updates seen, and polls superseded by a later one of their run, longer ago than this.

        Waits that are over, messages given up and dead updates are forgotten too, but much later.
        """
        scope = {"botname": botname}
        async with self._transaction() as connection:
            await connection.execute(statement.FORGET_UPDATES, scope | {"older_than": older_than})
            await connection.execute(statement.FORGET_POLLS, scope | {"older_than": older_than})
            await connection.execute(statement.FORGET_TIMERS, scope | {"older_than": WAITS_KEPT})
            await connection.execute(statement.FORGET_FAILURES, scope | {"older_than": FAILURES_KEPT})
            await connection.execute(statement.FORGET_DEAD, scope | {"older_than": FAILURES_KEPT})

    async def chat(self, botname: str, chat_id: int) -> ChatRecord | None:
        """Return the chat as it is now, without a lock; ``None`` when the bot never met it."""
        found = await self._fetch(ChatRecord, statement.FIND_CHAT, {"botname": botname, "chat_id": chat_id})
        return found[0] if found else None

    async def owner_of_run(self, run_id: int) -> RunOwner | None:
        """Return whose run this is, whatever the bot; ``None`` when there is no such run."""
        found = await self._fetch(RunOwner, statement.OWNER_OF_RUN, {"run_id": run_id})
        return found[0] if found else None

    async def transcript(self, botname: str, chat_id: int, course_id: str, run_id: int, element_id: str) -> list[Said]:
        """Return what was said in an element, in order: in this run, else in the newest earlier one that came there.

        An earlier run is one of the same course, of the same chat with the same bot.
        """
        parameters = {
            "botname": botname,
            "chat_id": chat_id,
            "course_id": course_id,
            "run_id": run_id,
            "element_id": element_id,
        }
        return await self._fetch(Said, statement.TRANSCRIPT, parameters)

    async def standing(self, botname: str, chat_id: int, course_id: str) -> Standing:
        """Return what decides whether the learner may talk to the model now; a person never met stands well."""
        parameters = {"botname": botname, "chat_id": chat_id, "course_id": course_id}
        (found,) = await self._fetch(Standing, statement.STANDING, parameters)
        return found

    async def ban(self, botname: str, chat_id: int, reason: str | None = None) -> None:
        """Ban a learner, who is not exempt any more; who is banned already stays so, with the new reason if given."""
        await self._execute(statement.BAN, {"botname": botname, "chat_id": chat_id, "reason": reason})

    async def unban(self, botname: str, chat_id: int, *, exempt: bool = False) -> None:
        """Lift a learner's ban, and make them exempt from bans and limits, or not exempt any more."""
        parameters = {"botname": botname, "chat_id": chat_id}
        async with self._transaction() as connection:
            await connection.execute(statement.UNBAN, parameters)
            if exempt:
                await connection.execute(statement.EXEMPT, parameters)

    async def chats_of(self, botname: str, username: str) -> list[int]:
        """Return the ids of the bot's chats with somebody who has, or had, this username in whatever case."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.CHATS_OF, {"botname": botname, "username": username})
            return [chat_id for (chat_id,) in await cursor.fetchall()]

    async def bans(self, botname: str) -> list[Ban]:
        """Return who is banned or exempt with this bot, one row each."""
        return await self._fetch(Ban, statement.BANS, {"botname": botname})

    async def participants(self, botname: str, course_id: str | None = None) -> list[Participant]:
        """Return who may take the bot's restricted courses, or this one, by course."""
        return await self._fetch(Participant, statement.PARTICIPANTS, {"botname": botname, "course_id": course_id})

    async def add_participants(self, botname: str, course_id: str, names: Sequence[str]) -> int:
        """Let these people, usernames or chat ids, take the restricted course; return how many could not before."""
        parameters = {"botname": botname, "course_id": course_id} | _people(names)
        return await self._execute(statement.ADD_PARTICIPANTS, parameters)

    async def remove_participants(self, botname: str, course_id: str, names: Sequence[str]) -> int:
        """Take the right from these people, also where it counts for every bot; return how many rows that were."""
        people = {key: [value for value in values if value is not None] for key, values in _people(names).items()}
        return await self._execute(statement.REMOVE_PARTICIPANTS, {"botname": botname, "course_id": course_id} | people)

    async def courses(self, botname: str) -> list[StoredCourse]:
        """Return the bot's courses in the database, each whole: as it was before or after a replacement."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.COURSES, {"botname": botname})
            return [
                StoredCourse(course_id, tuple([(key, text) for key, text in elements]), yaml)
                for course_id, yaml, elements in await cursor.fetchall()
            ]

    async def replace_course(
        self,
        botname: str,
        course_id: str,
        elements: Sequence[tuple[str, str, str]],
        yaml: str | None = None,
        creator_id: int | None = None,
    ) -> None:
        """Put a course in place of the one with this id, in one transaction.

        Elements are (id, type, JSON text ``{"element_data": ...}``) in their order. Who created the course stays,
        unless given. Two who replace it at once come one after the other.
        """
        scope = {"botname": botname, "course_id": course_id}
        columns = dict(
            zip(("element_id", "element_type", "json"), map(list, zip(*elements, strict=True)), strict=False)
        )
        async with self._transaction() as connection:
            await connection.execute(statement.PUT_COURSE, scope | {"yaml": yaml, "creator_id": creator_id})
            await connection.execute(statement.DROP_ELEMENTS, scope)
            if columns:
                await connection.execute(statement.PUT_ELEMENTS, scope | columns)

    async def delete_course(self, botname: str, course_id: str) -> bool:
        """Delete a course with its elements in one transaction; tell whether it was there."""
        scope = {"botname": botname, "course_id": course_id}
        async with self._transaction() as connection:
            dropped = await connection.execute(statement.DROP_COURSE, scope)
            await connection.execute(statement.DROP_ELEMENTS, scope)
        return dropped.rowcount > 0

    async def figures(self, botnames: Sequence[str]) -> list[BotFigures]:
        """Return what the tables say of these bots now."""
        return await self._fetch(BotFigures, statement.FIGURES, {"botnames": list(botnames)})

    async def run_places(self, botnames: Sequence[str]) -> list[RunPlace]:
        """Return where the runs of these bots stand; dear, as it looks at each run."""
        return await self._fetch(RunPlace, statement.RUN_PLACES, {"botnames": list(botnames)})

    async def database_figures(self) -> DatabaseFigures:
        """Return how large and how busy the database is."""
        (found,) = await self._fetch(DatabaseFigures, statement.DATABASE_FIGURES, {})
        return found

    def connections(self) -> tuple[int, int, int]:
        """Return how many connections are in use and how many are idle, and how many wait for one."""
        known = self._pool.get_stats()
        idle = known.get("pool_available", 0)
        return known.get("pool_size", 0) - idle, idle, known.get("requests_waiting", 0)

    async def tag(self, botname: str, chat_id: int, tag: str) -> None:
        """Give the learner a tag; who has it already keeps it."""
        await self._execute(statement.TAG, {"botname": botname, "chat_id": chat_id, "tag": tag})

    async def untag(self, botname: str, chat_id: int, tag: str) -> bool:
        """Take a tag away; tell whether the learner had it."""
        return await self._execute(statement.UNTAG, {"botname": botname, "chat_id": chat_id, "tag": tag}) > 0

    async def tags(self, botname: str, chat_id: int) -> frozenset[str]:
        """Return the learner's tags."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.TAGS, {"botname": botname, "chat_id": chat_id})
            return frozenset([tag for (tag,) in await cursor.fetchall()])

    async def tagged(self, botname: str, tag: str) -> list[int]:
        """Return the chats of the learners who have the tag."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.TAGGED, {"botname": botname, "tag": tag})
            return [chat_id for (chat_id,) in await cursor.fetchall()]

    async def plugin_state(self, botname: str, key: str) -> tuple[str | None, Json]:
        """Return the state and the data that a plugin keeps under a key."""
        async with self._connect() as connection:
            cursor = await connection.execute(statement.FIND_PLUGIN_STATE, {"botname": botname, "key": key})
            found = await cursor.fetchone()
        return (found[0], found[1]) if found else (None, {})

    async def set_plugin_state(self, botname: str, key: str, state: str | None) -> None:
        """Replace the state that a plugin keeps under a key; what holds nothing any more is deleted."""
        parameters = {"botname": botname, "key": key, "state": state}
        async with self._transaction() as connection:
            await connection.execute(statement.SET_PLUGIN_STATE, parameters)
            await connection.execute(statement.FORGET_PLUGIN_STATE, parameters)

    async def set_plugin_data(self, botname: str, key: str, data: Json) -> None:
        """Replace the data that a plugin keeps under a key; what holds nothing any more is deleted."""
        parameters = {"botname": botname, "key": key}
        async with self._transaction() as connection:
            await connection.execute(statement.SET_PLUGIN_DATA, {**parameters, "data": Jsonb(data)})
            await connection.execute(statement.FORGET_PLUGIN_STATE, parameters)

    def _scope(self, botname: str) -> dict[str, Any]:
        return {"botname": botname, "sender": self.host}

    async def _fetch(self, row: type[T], query: LiteralString, parameters: Mapping[str, Any]) -> list[T]:
        async with self._connect() as connection, connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(query, parameters)
            return await cursor.fetchall()

    async def _execute(self, query: LiteralString, parameters: Mapping[str, Any]) -> int:
        """Return how many rows it concerned."""
        async with self._connect() as connection:
            cursor = await connection.execute(query, parameters)
            return cursor.rowcount


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Have the pool do something to its end, also when who waits for that is cancelled.

    Broken off, it would lose connections, and then the cancellation.
    """
    await asyncio.shield(asyncio.create_task(work))


async def _connect_again(pool: AsyncConnectionPool[AsyncConnection]) -> None:
    await pool.check()


async def _configure(connection: AsyncConnection) -> None:
    set_json_dumps(encode, connection)
    await connection.execute(SESSION, prepare=False)


def _people(names: Sequence[str]) -> dict[str, list[Any]]:
    """Return columns of people, of whom either the username (no username is a number) or the chat id is known."""
    bare = [name.strip().removeprefix("@") for name in names]
    return {
        "username": [None if name.isdecimal() else name for name in bare],
        "chat_id": [int(name) if name.isdecimal() else None for name in bare],
    }


def _json_of(raw: Json) -> str:
    try:
        text = _encode_strictly(raw)
    except (ValueError, RecursionError):
        return encode({"update_id": raw.get("update_id"), "beginning": reprlib.repr(raw)})
    return text


def _storable(text: str) -> str:
    r"""Return the text, or JSON text, without NUL (plain or written ``\u0000``) and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").replace("\\u0000", "\\ufffd").encode("utf-8", "replace").decode()
