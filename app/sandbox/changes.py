"""Waiting for something to change, without polling the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Counts changes and wakes whoever waits for one; everything runs in one event loop."""

    def __init__(self) -> None:
        self.version = 0
        self._waiting: set[asyncio.Event] = set()

    def mark(self) -> None:
        """Record a change."""
        self.version += 1
        for event in self._waiting:
            event.set()

    async def until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until the condition holds, at most that long if ``seconds`` is given; return whether it holds."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    event.clear()
                    await event.wait()
        except TimeoutError:
            return condition()
        finally:
            self._waiting.discard(event)
        return True
