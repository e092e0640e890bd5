"""Delivers the waits of one bot: each once, within a second of its due time, overdue ones at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.pause import pause
from app.runtime.settler import when_available
from app.store.rows import Timer
from app.store.store import Store

BATCH = 100
"""How many timers share a transaction at most."""

LONGEST_SLEEP = 60.0
"""Seconds until the next look at the latest: this machine's clock may have stood still, or the database's been set."""

Deliver = Callable[[Sequence[Timer]], Awaitable[None]]


class Timers:
    """Sleeps until the bot's next timer is due and hands the due ones to ``deliver``, which claims them."""

    def __init__(self, botname: str, store: Store, deliver: Deliver, stop: asyncio.Event) -> None:
        self._botname = botname
        self._store = store
        self._deliver = deliver
        self._bot_stops = stop
        self._changed = asyncio.Event()
        self._is_stopped = False

    def wake(self) -> None:
        """Look again now: some process has written a timer."""
        self._changed.set()

    def stop(self) -> None:
        """Finish the delivery under way and end ``run``."""
        self._is_stopped = True
        self.wake()

    async def run(self) -> None:
        """Deliver timers until stopped.

        While PostgreSQL is away they wait; once the bot stops, ``StoreUnavailable`` is raised instead.
        """
        while not self._is_stopped:
            self._changed.clear()
            coming = await when_available(lambda: self._store.next_timers(self._botname, BATCH), self._bot_stops)
            due = [timer for timer in coming if timer.seconds == 0]
            if due:
                await self._deliver(due)
            else:
                await pause(min([LONGEST_SLEEP, *(timer.seconds for timer in coming)]), self._changed)
