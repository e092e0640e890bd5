"""Records in the store what Telegram accepted, in batches, off the senders' way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.observe.logs import get_log
from app.store import MediaFile, SentPoll, Store, StoreUnavailable

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
    """Collects sent messages of all bots of a host; one transaction settles all that came in during the last one.

    Until then a crash makes the next start send them again: the window of duplicates that the design names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sent: list[int] = []
        self._polls: list[SentPoll] = []
        self._files: list[MediaFile] = []
        self._wake = asyncio.Event()

    def sent(self, outbox_id: int, *, poll: SentPoll | None = None, files: Sequence[MediaFile] = ()) -> None:
        """Note that Telegram accepted a message; ``poll`` binds the poll it carried, ``files`` are ids worth caching."""
        self._sent.append(outbox_id)
        if poll is not None:
            self._polls.append(poll)
        self.cache(files)

    def cache(self, files: Sequence[MediaFile]) -> None:
        """Note file ids of a message that is not sent completely yet."""
        self._files.extend(files)
        self._wake.set()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Settle all that is noted."""
        self._wake.clear()
        sent, polls, files = self._sent, self._polls, self._files
        self._sent, self._polls, self._files = [], [], []
        if not (sent or polls or files):
            return
        try:
            await when_available(lambda: self._store.settle(sent, polls, files))
        except BaseException:
            self._sent[:0], self._polls[:0], self._files[:0] = sent, polls, files
            raise
