"""Records in the store what Telegram accepted, in batches, off the senders' way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.observe.logs import get_log
from app.store.errors import StoreUnavailable
from app.store.rows import MediaFile, SentPoll
from app.store.store import Store

T = TypeVar("T")

RETRY_SECONDS = 1.0
"""Pause between attempts while PostgreSQL is away."""

log = get_log(__name__)


async def when_available(call: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None) -> T:
    """Return the call's result, repeating it while PostgreSQL is away; once ``stop`` is set its failure is raised."""
    while True:
        try:
            return await call()
        except StoreUnavailable as trouble:
            if stop is not None and stop.is_set():
                raise
            log.warning("database unavailable, trying again", reason=str(trouble), seconds=RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)


@dataclass(slots=True)
class _Batch:
    """What one transaction settles."""

    sent: list[int] = field(default_factory=list)
    polls: list[SentPoll] = field(default_factory=list)
    files: list[MediaFile] = field(default_factory=list)
    settled: list[Callable[[], object]] = field(default_factory=list)


class Settler:
    """Collects the sent messages of one bot; one transaction settles all that came in during the last one.

    Until then a crash makes the next start send them again: the window of duplicates that the design names.
    """

    def __init__(self, store: Store, botname: str) -> None:
        self._store = store
        self._botname = botname
        self._noted = _Batch()
        self._under_way = _Batch()
        self._task: asyncio.Task[None] | None = None

    @property
    def unsettled(self) -> set[int]:
        """The ids of the messages that were sent, though the store does not know it yet."""
        return {*self._noted.sent, *self._under_way.sent}

    def sent(self, outbox_id: int, poll: SentPoll | None = None, settled: Callable[[], object] | None = None) -> None:
        """Note that Telegram accepted a message; ``poll`` binds the poll it carried, ``settled`` is called later."""
        self._noted.sent.append(outbox_id)
        if poll is not None:
            self._noted.polls.append(poll)
        if settled is not None:
            self._noted.settled.append(settled)
        self._begin()

    def cache(self, files: Sequence[MediaFile]) -> None:
        """Note file ids that save Telegram the next download."""
        self._noted.files.extend(files)
        self._begin()

    async def flush(self) -> None:
        """Return when all that is noted is settled."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def end(self) -> None:
        """Give up what is not settled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        try:
            while self._noted.sent or self._noted.files:
                self._under_way, self._noted = self._noted, _Batch()
                await self._settle_batch(self._under_way)
                self._under_way = _Batch()
        finally:
            self._task = None

    async def _settle_batch(self, batch: _Batch) -> None:
        while True:
            try:
                await when_available(lambda: self._store.settle(self._botname, batch.sent, batch.polls, batch.files))
            except Exception:
                # What is wrong with a poll or a file must not keep the messages in the outbox.
                log.exception("not settled, trying again without polls and files", bot=self._botname)
                batch.polls, batch.files = [], []
                await asyncio.sleep(RETRY_SECONDS)
            else:
                for settled in batch.settled:
                    settled()
                return
