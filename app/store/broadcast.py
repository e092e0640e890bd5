"""Broadcasts in the store: whom they are for, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, LiteralString

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.store.connection import Connect
from app.store.rows import Json


class Kind(StrEnum):
    """Which of a bot's learners belong to a segment."""

    ALL = "all"
    ACTIVE = "active"
    FINISHED = "finished"
    UNFINISHED = "unfinished"
    TAG = "tag"
    LISTED = "listed"


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of a bot's learners; with ``course_id`` only those of them who ever began that course.

    ``value`` is the course of ``FINISHED`` and ``UNFINISHED``, and the tag of ``TAG``. The chats of ``LISTED`` need not
    be known to the bot.
    """

    kind: Kind = Kind.ALL
    value: str | None = None
    within: timedelta | None = None
    chat_ids: tuple[int, ...] = ()
    course_id: str | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """How many chats a segment has, and how many of them have blocked the bot."""

    chats: int
    blocked: int


@dataclass(frozen=True, slots=True)
class Target:
    """A chat that a broadcast has yet to reach."""

    broadcast_id: int
    chat_id: int
    method: str
    params: Json = field(repr=False)

    def call(self) -> Json:
        """Return the parameters of the call that sends it."""
        return {"chat_id": self.chat_id, **self.params}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a broadcast is: its chats by what became of them; ``queued`` are about to be sent.

    ``is_served``: some host runs the bot, so that it goes on.
    """

    broadcast_id: int
    botname: str
    audience: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    pending: int
    queued: int
    sent: int
    blocked: int
    failed: int
    is_served: bool

    @property
    def total(self) -> int:
        """All its chats."""
        return self.pending + self.queued + self.done

    @property
    def done(self) -> int:
        """The chats it is done with."""
        return self.sent + self.blocked + self.failed


# A chat without a state is one that a broadcast wrote to, and that never wrote itself.
_AUDIENCE = """
    SELECT chat_id, is_blocked FROM (
        SELECT chat_id, is_blocked FROM chat
        WHERE botname = %(botname)s AND state IS NOT NULL AND %(chat_ids)s::bigint[] IS NULL
        UNION
        SELECT listed.chat_id, coalesce(chat.is_blocked, false)
        FROM unnest(%(chat_ids)s::bigint[]) AS listed (chat_id)
        LEFT JOIN chat ON chat.botname = %(botname)s AND chat.chat_id = listed.chat_id
    ) AS person
    WHERE (%(course_id)s::text IS NULL OR EXISTS (
        SELECT FROM run
        WHERE run.botname = %(botname)s AND run.chat_id = person.chat_id AND run.course_id = %(course_id)s
    ))
"""

_FINISHED = """
    EXISTS (
        SELECT FROM run WHERE run.botname = %(botname)s AND run.chat_id = person.chat_id
          AND run.course_id = %(value)s AND run.is_ended
    )
"""

_UNFINISHED = """
    EXISTS (
        SELECT FROM run
        WHERE run.botname = %(botname)s AND run.chat_id = person.chat_id AND run.course_id = %(value)s
    ) AND NOT EXISTS (
        SELECT FROM run WHERE run.botname = %(botname)s AND run.chat_id = person.chat_id
          AND run.course_id = %(value)s AND run.is_ended
    )
"""

# What a timer does for a learner does not make them active: only starts and answers do.
_ACTIVE = """
    EXISTS (
        SELECT FROM run LEFT JOIN conversation ON conversation.run_id = run.run_id AND conversation.role = 'user'
        WHERE run.botname = %(botname)s AND run.chat_id = person.chat_id
          AND greatest(run.date_inserted, conversation.date_inserted)::timestamptz >= now() - %(within)s::interval
    )
"""

_TAGGED = """
    EXISTS (
        SELECT FROM tag WHERE tag.botname = %(botname)s AND tag.chat_id = person.chat_id AND tag.tag = %(value)s
    )
"""

_CONDITIONS: Mapping[Kind, LiteralString] = {
    Kind.ALL: "true",
    Kind.LISTED: "true",
    Kind.ACTIVE: _ACTIVE,
    Kind.FINISHED: _FINISHED,
    Kind.UNFINISHED: _UNFINISHED,
    Kind.TAG: _TAGGED,
}

_COUNT = """
    SELECT count(*), count(*) FILTER (WHERE is_blocked) FROM (
"""

_END_OF_COUNT = """
    ) AS audience
"""

_CREATE = """
    WITH new AS (
        INSERT INTO broadcast (botname, audience, method, params)
        VALUES (%(botname)s, %(audience)s, %(method)s, %(params)s) RETURNING broadcast_id
    ), audience AS (
"""

_END_OF_CREATE = """
    ), added AS (
        INSERT INTO broadcast_target (broadcast_id, chat_id, state)
        SELECT broadcast_id, chat_id, CASE WHEN is_blocked THEN 'blocked' ELSE 'pending' END
        FROM new CROSS JOIN audience
    )
    SELECT broadcast_id FROM new
"""

# Of the messages of a broadcast those that left the outbox were sent, unless their chat was found to be blocked.
_SETTLE_TARGETS = """
    UPDATE broadcast_target AS target SET state = CASE WHEN EXISTS (
        SELECT FROM outbox WHERE outbox.broadcast_id = target.broadcast_id AND outbox.chat_id = target.chat_id
    ) THEN 'failed' ELSE 'sent' END
    FROM broadcast
    WHERE broadcast.botname = %(botname)s AND target.broadcast_id = broadcast.broadcast_id AND target.state = 'queued'
      AND NOT EXISTS (
          SELECT FROM outbox
          WHERE outbox.broadcast_id = target.broadcast_id AND outbox.chat_id = target.chat_id
            AND outbox.failed_at IS NULL
      )
"""

_END = """
    UPDATE broadcast SET state = 'done', ended_at = now()
    WHERE botname = %(botname)s AND state = 'running' AND NOT EXISTS (
        SELECT FROM broadcast_target AS target
        WHERE target.broadcast_id = broadcast.broadcast_id AND target.state IN ('pending', 'queued')
    )
"""

_NEXT_TARGETS = """
    WITH current AS (
        SELECT broadcast_id, method, params FROM broadcast
        WHERE botname = %(botname)s AND state = 'running' ORDER BY broadcast_id LIMIT 1
    )
    SELECT broadcast_id, chat_id, method, params
    FROM current JOIN broadcast_target AS target USING (broadcast_id)
    WHERE target.state = 'pending'
    ORDER BY chat_id
    LIMIT greatest(0, %(limit)s - (
        SELECT count(*) FROM outbox
        WHERE broadcast_id IS NOT NULL AND botname = %(botname)s AND failed_at IS NULL
    ))
"""

_IS_OPEN = """
    SELECT EXISTS (
        SELECT FROM broadcast LEFT JOIN broadcast_target AS target
            ON target.broadcast_id = broadcast.broadcast_id AND target.state = 'queued'
        WHERE botname = %(botname)s AND (broadcast.state = 'running' OR target.chat_id IS NOT NULL)
    )
"""

CLAIM_TARGETS = """
    UPDATE broadcast_target AS target
    SET state = CASE WHEN chat_id = ANY (%(blocked)s::bigint[]) THEN 'blocked' ELSE 'queued' END
    FROM broadcast
    WHERE broadcast.broadcast_id = %(broadcast_id)s AND broadcast.state = 'running'
      AND target.broadcast_id = broadcast.broadcast_id
      AND target.chat_id = ANY (%(chat_ids)s::bigint[]) AND target.state = 'pending'
    RETURNING chat_id, target.state
"""

# The key of an advisory lock is in pg_locks as two halves.
_PROGRESS = """
    SELECT broadcast.broadcast_id, broadcast.botname, audience, broadcast.state, created_at, ended_at,
        count(*) FILTER (WHERE target.state = 'pending') AS pending,
        count(*) FILTER (WHERE target.state = 'queued') AS queued,
        count(*) FILTER (WHERE target.state = 'sent') AS sent,
        count(*) FILTER (WHERE target.state = 'blocked') AS blocked,
        count(*) FILTER (WHERE target.state = 'failed') AS failed,
        EXISTS (
            SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (classid::bigint << 32) | objid::bigint = hashtextextended('flotilla:' || broadcast.botname, 0)
        ) AS is_served
    FROM broadcast LEFT JOIN broadcast_target AS target USING (broadcast_id)
    WHERE (%(broadcast_id)s::bigint IS NULL OR broadcast.broadcast_id = %(broadcast_id)s::bigint)
      AND (%(botname)s::text IS NULL OR broadcast.botname = %(botname)s::text)
    GROUP BY broadcast.broadcast_id ORDER BY broadcast.broadcast_id DESC
"""

_CHANGE = """
    UPDATE broadcast SET state = %(state)s,
        ended_at = CASE WHEN %(state)s::text = 'cancelled' THEN now() END
    WHERE broadcast_id = %(broadcast_id)s AND state = ANY (%(before)s::text[])
"""


class Broadcasts:
    """The broadcasts of a fleet."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def audience(self, botname: str, segment: Segment) -> Audience:
        """Return how many chats the segment has now."""
        async with self._connect() as connection:
            cursor = await connection.execute(_COUNT + _query(segment) + _END_OF_COUNT, _scope(botname, segment))
            row = await cursor.fetchone()
        return Audience(*row) if row else Audience(0, 0)

    async def create(self, botname: str, audience: str, segment: Segment, method: str, params: Json) -> int:
        """Begin a broadcast to those who belong to the segment now, in one transaction; return its id.

        ``audience`` is what operators call the segment, ``params`` those of the Bot API's method without the chat.
        """
        scope = _scope(botname, segment) | {"audience": audience, "method": method, "params": Jsonb(params)}
        async with self._connect() as connection:
            cursor = await connection.execute(_CREATE + _query(segment) + _END_OF_CREATE, scope)
            row = await cursor.fetchone()
        assert row is not None  # noqa: S101 - an INSERT returns its row
        return int(row[0])

    async def next_targets(self, botname: str, limit: int) -> list[Target]:
        """Note which messages of broadcasts were sent, and return who is next; in order of the broadcasts.

        So many that with them at most ``limit`` messages of broadcasts are in the outbox.
        """
        scope = {"botname": botname}
        async with self._connect() as connection:
            async with connection.pipeline():
                await connection.execute("BEGIN")
                await connection.execute(_SETTLE_TARGETS, scope)
                await connection.execute(_END, scope)
                cursor = connection.cursor(row_factory=class_row(Target))
                await cursor.execute(_NEXT_TARGETS, scope | {"limit": limit})
                await connection.execute("COMMIT")
            return await cursor.fetchall()

    async def is_open(self, botname: str) -> bool:
        """Tell whether some broadcast of the bot goes on, or has messages in the outbox."""
        async with self._connect() as connection:
            cursor = await connection.execute(_IS_OPEN, {"botname": botname})
            return await cursor.fetchone() == (True,)

    async def progress(self, broadcast_id: int | None = None, botname: str | None = None) -> list[Progress]:
        """Return how far this broadcast is, or those of a bot, or all; the newest first."""
        async with self._connect() as connection:
            cursor = connection.cursor(row_factory=class_row(Progress))
            await cursor.execute(_PROGRESS, {"broadcast_id": broadcast_id, "botname": botname})
            return await cursor.fetchall()

    async def change(self, broadcast_id: int, state: str, before: Sequence[str]) -> bool:
        """Pause, resume or cancel a broadcast that is in one of the states ``before``; tell whether it was."""
        parameters = {"broadcast_id": broadcast_id, "state": state, "before": list(before)}
        async with self._connect() as connection:
            cursor = await connection.execute(_CHANGE, parameters)
            return cursor.rowcount > 0


def _query(segment: Segment) -> LiteralString:
    return _AUDIENCE + " AND " + _CONDITIONS[segment.kind]


def _scope(botname: str, segment: Segment) -> dict[str, Any]:
    return {
        "botname": botname,
        "chat_ids": list(segment.chat_ids) if segment.kind is Kind.LISTED else None,
        "course_id": segment.course_id,
        "value": segment.value,
        "within": segment.within,
    }
