"""Webhook requests into turns: what arrives together is committed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from app.observe.logs import get_log
from app.store.errors import StoreUnavailable
from app.telegram.decode import Update

GATHER_SECONDS = 0.002
"""How long requests wait for others, and as long again if some have come, up to ``GATHERINGS`` times."""

GATHERINGS = 4

MOST = 100
"""Updates of one turn."""

log = get_log(__name__)

Apply = Callable[[Sequence[Update]], Awaitable[None]]
"""Applies a batch of updates; returns only when their effects are committed."""


class Intake:
    """Collects the updates of one bot, and tells for each whether its effect is committed."""

    def __init__(self, name: str, apply: Apply) -> None:
        self.accepted = 0
        self._name = name
        self._apply = apply
        self._waiting: list[tuple[Update, asyncio.Future[bool]]] = []
        self._work: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_lost = False

    def put(self, update: Update) -> asyncio.Future[bool]:
        """Apply an update together with others; the result is ``False`` when Telegram has to send it again."""
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[bool] = loop.create_future()
        if self._is_closed:
            committed.set_result(False)
            return committed
        self._waiting.append((update, committed))
        if self._work is None:
            self._work = loop.create_task(self._commit_all())
        return committed

    def close(self, *, is_lost: bool = False) -> None:
        """Take nothing more; what waits is committed still, unless ``is_lost``: another host may go on already.

        What that host does not know of, it has to be sent again by Telegram, and will then find committed.
        """
        self._is_closed = True
        self._is_lost = self._is_lost or is_lost
        if is_lost:
            self._answer(self._waiting, False)
            self._waiting = []

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        if self._work is not None:
            await asyncio.wait({self._work})

    async def _commit_all(self) -> None:
        try:
            while await self._gathered():
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                is_committed = await self._commit([update for update, _ in batch])
                self._answer(batch, is_committed and not self._is_lost)
        finally:
            self._work = None

    async def _gathered(self) -> bool:
        """Wait for requests to follow those that wait, as they do where others were just answered; tell if some do."""
        for _ in range(GATHERINGS if self._waiting else 0):
            before = len(self._waiting)
            await asyncio.sleep(GATHER_SECONDS)
            if not before < len(self._waiting) < MOST:
                break
        return bool(self._waiting)

    async def _commit(self, updates: Sequence[Update]) -> bool:
        """Commit updates in Telegram's order, each once, though one may have been sent twice."""
        distinct = {update.update_id: update for update in updates}
        try:
            await self._apply([distinct[update_id] for update_id in sorted(distinct)])
        except StoreUnavailable as trouble:
            log.warning("updates refused until the database is back", bot=self._name, reason=str(trouble))
            return False
        except Exception:
            log.exception("updates not applied, telegram will send them again", bot=self._name, updates=len(updates))
            return False
        self.accepted += len(distinct)
        return True

    @staticmethod
    def _answer(batch: Sequence[tuple[Update, asyncio.Future[bool]]], is_committed: bool) -> None:
        for _, committed in batch:
            if not committed.done():  # a request may have been given up meanwhile
                committed.set_result(is_committed)
