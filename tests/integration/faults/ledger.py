"""The books that must balance after a fault: what a learner saw, what is recorded, what hosts said they did twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.sandbox.client import Transcript
from tests.database import query

Row = tuple[Any, ...]

ROWS = """
    SELECT element_id, role, report, score, maxscore FROM conversation
    WHERE botname = %s AND chat_id = %s ORDER BY conversation_id
"""
PENDING = """
    SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM job)
         + (SELECT count(*) FROM waiting_element WHERE is_waiting)
"""


def recorded(database_url: str, learner_id: int, bot: str = "bot") -> list[Row]:
    """Return the learner's transcript as it is stored, without times and ids."""
    return query(database_url, ROWS, bot, learner_id)


def seen(chat: Transcript) -> list[str]:
    """Return what the bot showed, in order."""
    return [message.poll.question if message.poll else message.text for message in chat.by_bot]


def once(texts: Iterable[str]) -> list[str]:
    """Return the texts without repetitions, in the order of their first appearance."""
    return list(dict.fromkeys(texts))


def pending(database_url: str) -> int:
    """Return how many messages, jobs and waits are not done."""
    ((count,),) = query(database_url, PENDING)
    return int(count)


def dead(database_url: str) -> int:
    """Return how many updates were set aside."""
    ((count,),) = query(database_url, "SELECT count(*) FROM dead_update")
    return int(count)


def counted(log: bytes) -> int:
    """Return how many messages a host said it may have sent twice."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
    unknown = sum(1 for line in lines if line.get("unknown"))
    return unknown + sum(line["messages"] for line in lines if line["event"].startswith("sending messages left"))
