"""Sends the broadcasts of one bot, a few messages at a time, so that no answer to a learner waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.observe.logs import get_log
from app.pause import pause
from app.runtime.decision import Rules
from app.runtime.settler import when_available
from app.runtime.turn import Result
from app.store.broadcast import Target
from app.store.errors import StoreUnavailable
from app.store.rows import NewMessage
from app.store.store import Store

AT_ONCE = 5
"""Most messages of broadcasts in the outbox at once, so at most one of each chat."""

LONGEST_SLEEP = 60.0
"""Seconds until the next look while there is no broadcast."""

SENDING_SECONDS = 1.0
"""Seconds until the next look while messages are being sent, perhaps by another host that tells nobody."""

SPARE_SECONDS = 0.05
"""Seconds until the next look while the bot's limit has room for answers only."""

log = get_log(__name__)

Announce = Callable[[Sequence[Target]], Awaitable[None]]


async def announce(store: Store, rules: Rules, targets: Sequence[Target]) -> Result:
    """Commit the messages of these targets, all of one broadcast, to the outbox: one transaction.

    A chat that has blocked the bot gets none, nor does one that was reached meanwhile, by another host.
    """
    async with store.turn(rules.botname) as turn:
        loaded = await turn.load([], sorted({target.chat_id for target in targets}))
        blocked = [target.chat_id for target in targets if loaded.chats[target.chat_id].is_blocked]
        taken = await turn.claim_targets(targets[0].broadcast_id, [target.chat_id for target in targets], blocked)
        messages = [
            NewMessage(target.chat_id, target.method, target.call(), broadcast_id=target.broadcast_id)
            for target in targets
            if target.chat_id in taken
        ]
        seen = len(set(loaded.chats) - taken - set(blocked))
        return Result(await turn.save(messages=messages), seen=seen, backlog=turn.backlog)


class Broadcasts:
    """Hands the next targets to ``announce`` whenever there is ``spare`` room beside the answers to learners."""

    def __init__(
        self, botname: str, store: Store, announce: Announce, spare: Callable[[], int], stop: asyncio.Event
    ) -> None:
        self._botname = botname
        self._store = store
        self._announce = announce
        self._spare = spare
        self._bot_stops = stop
        self._changed = asyncio.Event()
        self._is_stopped = self._has_targets = False

    def wake(self) -> None:
        """Look again now: some process has changed a broadcast, or a message of one has left the outbox."""
        self._changed.set()

    def stop(self) -> None:
        """Commit no further messages, and end ``run``."""
        self._is_stopped = True
        self.wake()

    async def run(self) -> None:
        """Go on with broadcasts until stopped.

        While PostgreSQL is away they wait; once the bot stops, ``StoreUnavailable`` is raised instead.
        """
        while not self._is_stopped:
            self._changed.clear()
            await pause(await self._go_on_or_report(), self._changed)

    async def _go_on_or_report(self) -> float:
        try:
            return await self._go_on()
        except StoreUnavailable:
            raise
        except Exception:  # learners of the courses have nothing to do with it
            log.exception("broadcast failed, trying again", bot=self._botname, seconds=LONGEST_SLEEP)
            return LONGEST_SLEEP

    async def _go_on(self) -> float:
        """Commit the next messages, and return how many seconds to wait for news at most."""
        spare = self._spare()
        if self._has_targets and spare == 0:
            return SPARE_SECONDS
        broadcasts = self._store.broadcasts
        targets = await when_available(lambda: broadcasts.next_targets(self._botname, AT_ONCE), self._bot_stops)
        self._has_targets = bool(targets)
        if not targets:
            is_open = await when_available(lambda: broadcasts.is_open(self._botname), self._bot_stops)
            return SENDING_SECONDS if is_open else LONGEST_SLEEP
        if spare == 0:
            return SPARE_SECONDS
        await self._announce(targets[:spare])
        return SENDING_SECONDS
