"""The bots of a host, each in a task of its own: single ones are stopped and started while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import FlotillaError
from app.observe.logs import get_log
from app.runtime.bot import DRAIN_SECONDS, Bot, State

STOP_SECONDS = DRAIN_SECONDS + 12.0
"""How long a stop may take altogether; a container's grace period is longer."""

CANCEL_SECONDS = 1.0
"""How long what is cancelled may take for its end."""

log = get_log(__name__)


class UnknownBotError(FlotillaError):
    """The host has no bot of that name."""


class CrewEndsError(FlotillaError):
    """A bot is to start while its host stops."""


@dataclass(eq=False, slots=True)
class Member:
    """A bot and the task it runs in; ``is_wanted`` until an operator stops it. ``busy`` keeps two orders apart."""

    bot: Bot
    task: asyncio.Task[None] | None = None
    is_wanted: bool = True
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_running(self) -> bool:
        """Whether the bot is at work."""
        return self.task is not None and not self.task.done()


class Crew:
    """Runs bots side by side; what ends one does not touch the others. Those ``stopped`` (names) wait for ``start``."""

    def __init__(self, bots: Sequence[Bot] = (), stopped: Collection[str] = ()) -> None:
        self.bots = tuple(bots)
        self._members = {bot.settings.name: Member(bot) for bot in bots}
        self._somebody_ended = asyncio.Event()
        self._is_ending = False
        for name in self._members.keys() & set(stopped):
            self._members[name].is_wanted = False
            self._members[name].bot.state = State.STOPPED
            log.warning("an operator has stopped this bot; it stays so until flotilla start", bot=name)

    def begin(self, delay: Callable[[int], float]) -> None:
        """Start all bots, each after the delay (seconds) for its place in the row; not those told otherwise before."""
        for index, member in enumerate(self._members.values()):
            if member.is_wanted and not member.is_running:
                self._start(member, delay(index))

    @property
    def stopped(self) -> list[str]:
        """The names of the bots that an operator has stopped."""
        return [name for name, member in self._members.items() if not member.is_wanted]

    def bot(self, name: str) -> Bot:
        """Return the bot of this name; raises ``UnknownBotError``."""
        return self._member(name).bot

    async def start(self, name: str) -> Bot:
        """Start a bot that was stopped, refused or failed; nothing happens to one that runs.

        It has the settings it had, the token among them. Raises ``UnknownBotError`` and ``CrewEndsError``.
        """
        member = self._member(name)
        async with member.busy:
            if not member.is_running:
                self._start(member)
        return member.bot

    async def stop(self, name: str) -> Bot:
        """Stop a bot as the end of its host does: the turn is finished and sent what is committed. Others may lead it.

        It stays stopped until ``start``, and counts not as one that has ended by itself. Raises ``UnknownBotError``.
        """
        member = self._member(name)
        async with member.busy:
            await self._stop(member)
        return member.bot

    async def restart(self, name: str) -> Bot:
        """Stop a bot if it runs, and start it. Raises ``UnknownBotError`` and ``CrewEndsError``."""
        member = self._member(name)
        async with member.busy:
            await self._stop(member)
            self._start(member)
        return member.bot

    async def leave(self) -> None:
        """Leave to other hosts what ended bots could not leave for want of a database.

        Raises ``StoreUnavailable`` while there is none.
        """
        for member in self._members.values():
            if not (member.bot.has_left or member.is_running):
                async with member.busy:
                    if not member.is_running:
                        await member.bot.leave()

    async def none_left(self) -> None:
        """Wait until all bots have ended by themselves; one that an operator has stopped has not."""
        while not all(member.is_wanted and not member.is_running for member in self._members.values()):
            self._somebody_ended.clear()
            await self._somebody_ended.wait()

    async def end(self) -> None:
        """Stop all bots for good."""
        self._is_ending = True
        for bot in self.bots:
            bot.stop()
        await _ended([member.task for member in self._members.values() if member.task is not None])

    def _member(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            names = ", ".join(map(repr, self._members)) or "none yet"
            raise UnknownBotError(f"there is no bot {name!r} here; this host runs {names}")
        return member

    def _start(self, member: Member, delay: float = 0.0) -> None:
        if self._is_ending:
            raise CrewEndsError(f"bot {member.bot.settings.name!r} is not started: its host stops")
        member.bot.renew()
        member.is_wanted = True
        member.task = asyncio.create_task(self._run(member.bot, delay))

    async def _stop(self, member: Member) -> None:
        member.is_wanted = False
        if member.task is not None:
            member.bot.stop()
            await _ended([member.task])
        member.bot.state = State.STOPPED

    async def _run(self, bot: Bot, delay: float) -> None:
        try:
            await bot.run(delay)
        except Exception:
            bot.state = State.FAILED
            log.exception("bot ended by a defect; the others go on", bot=bot.settings.name)
        finally:
            asyncio.get_running_loop().call_soon(self._somebody_ended.set)  # after the task is done


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for the end of tasks that are told to end, and make those end that take too long."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        await cancelled(late)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; those that take long are cancelled again.

    For a database that has fallen silent the driver waits ten seconds more, with each statement, unless it is.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)
