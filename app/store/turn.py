"""One transaction of one bot: load, decide (not here), save."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.types.json import Jsonb

from app.engine.event import PollRef
from app.jsontext import to_text
from app.store import broadcast, statement
from app.store.rows import (
    NO_BACKLOG,
    Backlog,
    ChatRecord,
    ChatState,
    ConversationRow,
    Json,
    Loaded,
    NewestPoll,
    NewJob,
    NewMessage,
    NewRun,
    NewTimer,
    OutboxMessage,
    Usage,
)


class Turn:
    """One transaction of one bot: ``load``, then ``save``, which commits. Without ``save`` nothing is written."""

    def __init__(self, connection: AsyncConnection, botname: str, sender: str) -> None:
        self._connection = connection
        self._botname = botname
        self._sender = sender
        self._foreign: frozenset[int] = frozenset()
        self.backlog = NO_BACKLOG

    def is_foreign(self, chat_id: int) -> bool:
        """Tell whether another host sends this chat's messages, those of this turn too."""
        return chat_id in self._foreign

    async def load(
        self,
        update_ids: Sequence[int],
        chat_ids: Sequence[int],
        poll_ids: Sequence[str] = (),
        run_ids: int = 0,
    ) -> Loaded:
        """Mark the updates as seen, lock the chats (created if missing) and return what they hold: one round trip.

        Waits for turns that hold one of the chats. Rows are taken in ascending order, so turns cannot deadlock.
        ``run_ids`` is the number of ids wanted for new runs.
        """
        execute = self._connection.execute
        scope = {"botname": self._botname}
        async with self._connection.pipeline():
            await execute(statement.BEGIN)
            fresh = await execute(statement.MARK_SEEN, scope | {"update_ids": list(update_ids)})
            wanted = scope | {"chat_ids": list(chat_ids), "sender": self._sender}
            await execute(statement.CREATE_CHATS, wanted)
            chats = await execute(statement.LOCK_CHATS, wanted)
            polls = await execute(statement.FIND_POLLS, scope | {"poll_ids": list(poll_ids)}) if poll_ids else None
            new_ids = await execute(statement.NEW_RUN_IDS, {"count": run_ids}) if run_ids else None
        records = await chats.fetchall()
        others = [chat_id for chat_id, is_ours, *_ in records if not is_ours]
        if others:
            await self._claim_chats(others)
        return Loaded(
            fresh=frozenset([update_id for (update_id,) in await fresh.fetchall()]),
            chats={chat_id: ChatRecord(*columns) for chat_id, _, *columns in records},
            polls={poll_id: PollRef(*columns) for poll_id, *columns in await _all(polls)},
            run_ids=tuple([run_id for (run_id,) in await _all(new_ids)]),
        )

    async def _claim_chats(self, chat_ids: Sequence[int]) -> None:
        """Become the sender of these locked chats, but for those whose messages another living host is sending."""
        parameters = {"botname": self._botname, "chat_ids": chat_ids, "sender": self._sender}
        cursor = await self._connection.execute(statement.CLAIM_CHATS, parameters)
        claimed = await cursor.fetchall()
        self._foreign = frozenset(chat_ids) - {chat_id for chat_id, _, _ in claimed}
        self.backlog = Backlog(
            unheard=frozenset([chat_id for chat_id, is_waiting, was_ours in claimed if is_waiting and was_ours]),
            taken_over=frozenset([chat_id for chat_id, is_waiting, was_ours in claimed if is_waiting and not was_ours]),
        )

    async def claim_timers(self, timer_ids: Sequence[int]) -> frozenset[int]:
        """Take those of these timers that are due and not taken; their chats must be locked (``load``)."""
        parameters = {"botname": self._botname, "timer_ids": list(timer_ids)}
        cursor = await self._connection.execute(statement.CLAIM_TIMERS, parameters)
        return frozenset([timer_id for (timer_id,) in await cursor.fetchall()])

    async def claim_job(self, job_id: int) -> bool:
        """Take the job out to apply its result; its chat must be locked (``load``).

        Not taken when it was cancelled, or when another worker's result came first: then this one counts for nothing.
        """
        cursor = await self._connection.execute(statement.TAKE_JOB, {"botname": self._botname, "job_id": job_id})
        return cursor.rowcount > 0

    async def claim_targets(self, broadcast_id: int, chat_ids: Sequence[int], blocked: Sequence[int]) -> frozenset[int]:
        """Take chats out of what a running broadcast has to do, to send them its message; return those taken.

        The ``blocked`` among them get none. The chats must be locked (``load``).
        """
        parameters = {"broadcast_id": broadcast_id, "chat_ids": list(chat_ids), "blocked": list(blocked)}
        cursor = await self._connection.execute(broadcast.CLAIM_TARGETS, parameters)
        return frozenset([chat_id for chat_id, state in await cursor.fetchall() if state == "queued"])

    async def newest_poll(self, chat_id: int, run_id: int) -> NewestPoll | None:
        """Return the run's newest poll that is known by now."""
        parameters = {"botname": self._botname, "chat_id": chat_id, "run_id": run_id}
        cursor = await self._connection.execute(statement.NEWEST_POLL, parameters)
        row = await cursor.fetchone()
        return NewestPoll(row[0], row[1], PollRef(*row[2:])) if row else None

    async def is_outgoing(self, chat_id: int, run_id: int, step: int) -> bool:
        """Tell whether the message of a run's step is in the outbox: not sent, or not known to be."""
        parameters = {"botname": self._botname, "chat_id": chat_id, "run_id": run_id, "step": step}
        cursor = await self._connection.execute(statement.IS_OUTGOING, parameters)
        return await cursor.fetchone() == (True,)

    async def is_participant(self, course_id: str, username: str | None, chat_id: int) -> bool:
        """Tell whether this person may take the restricted course, and bind a matching username to the person.

        The username (without ``@``, in whatever case) counts only until its row is bound.
        """
        parameters = {"botname": self._botname, "course_id": course_id, "username": username, "chat_id": chat_id}
        cursor = await self._connection.execute(statement.BIND_PARTICIPANT, parameters)
        return cursor.rowcount > 0

    async def bury(self, dead: Json, apology: NewMessage | None) -> list[OutboxMessage]:
        """Set an update (columns of ``dead_update``) aside as seen and commit, with ``save``'s result.

        In place of ``load``: no state is read, for it may be what the update died of.
        """
        execute = self._connection.execute
        chat_ids = [apology.chat_id] if apology else []
        chats = {"botname": self._botname, "chat_ids": chat_ids, "sender": self._sender}
        async with self._connection.pipeline():
            await execute(statement.BEGIN)
            await execute(statement.MARK_SEEN, {"botname": self._botname, "update_ids": [dead["update_id"]]})
            await execute(statement.BURY, {"botname": self._botname} | dead)
            await execute(statement.CREATE_CHATS, chats)
            await execute(statement.HOLD_CHATS, chats)
        await self._claim_chats(chat_ids)
        return await self.save(messages=[apology] if apology else [])

    async def save(
        self,
        *,
        chats: Sequence[ChatState] = (),
        runs_started: Sequence[NewRun] = (),
        runs_ended: Sequence[int] = (),
        runs_reopened: Sequence[int] = (),
        timers_started: Sequence[NewTimer] = (),
        timers_cancelled: Sequence[int] = (),
        jobs_started: Sequence[NewJob] = (),
        jobs_cancelled: Sequence[int] = (),
        usage: Sequence[Usage] = (),
        rows: Sequence[ConversationRow] = (),
        messages: Sequence[NewMessage] = (),
    ) -> list[OutboxMessage]:
        """Write the effect of the turn and commit: one round trip.

        Returns the messages that are ours to send in order, with their ids; other hosts hear of theirs.
        A run is in one of ``runs_ended`` and ``runs_reopened`` at most. ``timers_cancelled`` and
        ``jobs_cancelled`` name runs; their timers and jobs of earlier turns are cancelled.
        """
        execute = self._connection.execute
        scope = {"botname": self._botname}
        async with self._connection.pipeline():
            if chats:
                await execute(statement.SAVE_CHATS, scope | rows_of(chats))
            if runs_started:
                await execute(statement.START_RUNS, scope | columns_of(runs_started))
            if runs_ended:
                await execute(statement.END_RUNS, scope | {"run_ids": list(runs_ended)})
            if runs_reopened:
                await execute(statement.REOPEN_RUNS, scope | {"run_ids": list(runs_reopened)})
            if timers_cancelled:
                await execute(statement.CANCEL_TIMERS, scope | {"run_ids": list(timers_cancelled)})
            if timers_started:
                await execute(statement.START_TIMERS, scope | columns_of(timers_started))
            if jobs_cancelled:
                await execute(statement.CANCEL_JOBS, scope | {"run_ids": list(jobs_cancelled)})
            if jobs_started:
                await execute(statement.START_JOBS, scope | columns_of(jobs_started))
            if usage:
                await execute(statement.ADD_USAGE, scope | columns_of(usage))
            if rows:
                await execute(statement.RECORD_ROWS, scope | rows_of(rows))
            added = await execute(statement.ADD_TO_OUTBOX, scope | rows_of(messages)) if messages else None
            foreign = {message.chat_id for message in messages if message.chat_id in self._foreign}
            if foreign:
                await execute(statement.TELL_SENDERS, scope | {"chat_ids": list(foreign)})
            await execute(statement.COMMIT)
        stored = with_ids(messages, await added.fetchall()) if added else []
        return [message for message in stored if message.chat_id not in foreign] if foreign else stored


async def _all(cursor: AsyncCursor[Any] | None) -> list[Any]:
    return await cursor.fetchall() if cursor is not None else []


def columns_of(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the columns of equal rows, which are not empty, by name; objects become ``jsonb``."""
    names = type(rows[0]).__slots__
    return {name: [_adapted(value) for value in map(attrgetter(name), rows)] for name in names}


def rows_of(rows: Sequence[Any]) -> dict[str, str]:
    """Return equal rows, which are not empty, as the parameter ``rows``: a JSON text."""
    names = type(rows[0]).__slots__
    values = attrgetter(*names)
    return {"rows": to_text([dict(zip(names, values(row), strict=True)) for row in rows])}


def _adapted(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


def with_ids(messages: Sequence[NewMessage], ids: Sequence[tuple[int]]) -> list[OutboxMessage]:
    """Return the messages as they are in the outbox; ids were given in their order."""
    return [
        OutboxMessage(
            outbox_id,
            message.chat_id,
            message.method,
            message.params,
            message.run_id,
            message.step,
            message.broadcast_id,
        )
        for (outbox_id,), message in zip(sorted(ids), messages, strict=True)
    ]
