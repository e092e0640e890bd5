"""Records in the store what Telegram accepted, in batches, off the senders' way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.observe.logs import get_log
from app.store.errors import StoreUnavailable
from app.store.rows import MediaFile, SentPoll
from app.store.store import Store

T = TypeVar("T")

RETRY_SECONDS = 1.0
"""Pause between attempts while PostgreSQL is away."""

log = get_log(__name__)


async def when_available(call: Callable[[], Awaitable[T]]) -> T:
    """Return the call's result, repeating it while PostgreSQL is away."""
    while True:
        try:
            return await call()
        except StoreUnavailable as trouble:
            log.warning("database unavailable, trying again", reason=str(trouble), seconds=RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)


class Settler:
    """Collects the sent messages of one bot; one transaction settles all that came in during the last one.

    Until then a crash makes the next start send them again: the window of duplicates that the design names.
    """

    def __init__(self, store: Store, botname: str) -> None:
        self._store = store
        self._botname = botname
        self._sent: list[int] = []
        self._polls: list[SentPoll] = []
        self._files: list[MediaFile] = []
        self._task: asyncio.Task[None] | None = None

    def sent(self, outbox_id: int, poll: SentPoll | None = None) -> None:
        """Note that Telegram accepted a message; ``poll`` binds the poll it carried."""
        self._sent.append(outbox_id)
        if poll is not None:
            self._polls.append(poll)
        self._begin()

    def cache(self, files: Sequence[MediaFile]) -> None:
        """Note file ids that save Telegram the next download."""
        self._files.extend(files)
        self._begin()

    async def flush(self) -> None:
        """Return when all that is noted is settled."""
        while self._task is not None:
            await asyncio.shield(self._task)

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        try:
            while self._sent or self._files:
                sent, polls, files = self._sent, self._polls, self._files
                self._sent, self._polls, self._files = [], [], []
                await when_available(lambda: self._store.settle(self._botname, sent, polls, files))  # noqa: B023 - awaited at once
        finally:
            self._task = None
