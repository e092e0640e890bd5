"""Pins in the store: who pinned which bot to which version, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.rows import class_row

from app.store.connection import Connect


class NothingToUndo(Exception):
    """The history has no pin of the bot that is not undone already."""


class Outcome(StrEnum):
    """What came of a pin; after the latter two the bot has its old version again."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Pin:
    """One change of a bot's version; ``None`` as a version is the fleet's own."""

    botname: str
    from_version: str | None
    to_version: str | None
    is_rollback: bool
    actor: str
    began_at: datetime
    ended_at: datetime
    result: Outcome
    reason: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", Outcome(self.result))


_ADD = """
    INSERT INTO pin
        (botname, from_version, to_version, is_rollback, actor, began_at, ended_at, result, reason)
    VALUES (%(botname)s, %(from_version)s, %(to_version)s, %(is_rollback)s, %(actor)s, %(began_at)s, %(ended_at)s,
        %(result)s, %(reason)s)
"""

_HISTORY = """
    SELECT botname, from_version, to_version, is_rollback, actor, began_at, ended_at, result, reason
    FROM pin WHERE %(botnames)s::text[] IS NULL OR botname = ANY (%(botnames)s::text[])
    ORDER BY pin_id
"""


class Pins:
    """The history of the pins of a fleet."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def add(self, pin: Pin) -> None:
        """Write down a pin that has ended."""
        async with self._connect() as connection:
            await connection.execute(_ADD, asdict(pin))

    async def history(self, botnames: Collection[str] | None = None) -> list[Pin]:
        """Return the pins of these bots, or of all of them; the oldest first."""
        async with self._connect() as connection:
            cursor = connection.cursor(row_factory=class_row(Pin))
            await cursor.execute(_HISTORY, {"botnames": None if botnames is None else list(botnames)})
            return await cursor.fetchall()


def last_good(history: Sequence[Pin], current: str | None) -> str | None:
    """Return the version to go back to from the current one: each rollback undoes one pin, as far as there are any.

    A version that was written into the config by hand counts as the newest pin. Raises ``NothingToUndo``.
    """
    stack: list[str | None] = []
    at: str | None = None
    for pin in history:
        if pin.result is not Outcome.DONE:
            continue
        if not pin.is_rollback:
            stack.append(pin.from_version)
        elif stack:
            stack.pop()
        at = pin.to_version
    has_any = any(pin.result is Outcome.DONE for pin in history)
    if has_any and at != current:
        return at
    if not stack:
        raise NothingToUndo
    return stack[-1]
