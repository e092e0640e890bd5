"""Long polling of one bot: an update is confirmed to Telegram only after its turn is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from app.observe.logs import get_log
from app.pause import pause
from app.telegram.api import BotApi
from app.telegram.backoff import Backoff
from app.telegram.decode import ALLOWED_UPDATES, Update, decode
from app.telegram.error import Conflict, FloodWait, TelegramError, TokenRefused, Unavailable

POLL_SECONDS = 30
"""How long Telegram may hold a ``getUpdates`` without updates."""

_GRACE_SECONDS = 15
_CONFIRM_SECONDS = 3

log = get_log(__name__)

Handle = Callable[[list[Update]], Awaitable[None]]
"""Applies a batch of updates; returns only when their effects are committed."""


class Poller:
    """Polls one bot until it is told to stop or its token is refused.

    ``kinds`` are the types of updates to ask for, asked for before each call.
    """

    def __init__(
        self,
        name: str,
        api: BotApi,
        handle: Handle,
        completed: Callable[[], None],
        kinds: Callable[[], Sequence[str]] = lambda: ALLOWED_UPDATES,
    ) -> None:
        self._name = name
        self._api = api
        self._handle = handle
        self._completed = completed
        self._kinds = kinds
        self._stop = asyncio.Event()
        self._offset = 0
        self._is_lost = False
        self._has_answer = False

    def stop(self, *, is_lost: bool = False) -> None:
        """End ``run`` as soon as the turn under way is committed; a waiting ``getUpdates`` is given up at once.

        What is committed is confirmed to Telegram, unless the bot is lost to another host.
        """
        self._is_lost = self._is_lost or is_lost
        self._stop.set()

    async def run(self) -> None:
        """Poll until ``stop``; raises ``TokenRefused`` when the token is revoked.

        ``completed`` is called after each answered ``getUpdates``, which is what the health of the bot is judged by.
        """
        waits = Backoff()
        while not self._stop.is_set():
            try:
                raw = await self._next_batch()
            except TokenRefused:
                raise
            except FloodWait as flood:
                await pause(flood.retry_after, self._stop)
            except TelegramError as trouble:
                self._note(trouble, waits)
                await pause(next(waits), self._stop)
            else:
                waits.reset()
                self._has_answer = True
                self._completed()
                await self._apply(raw)
        await self._confirm()

    async def _next_batch(self) -> list[Any]:
        # The first is answered at once: who starts the bot wants to know whether it works.
        request = asyncio.ensure_future(self._get_updates(POLL_SECONDS if self._has_answer else 0))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({request, stop}, return_when=asyncio.FIRST_COMPLETED)
            return request.result() if request.done() else []
        finally:
            request.cancel()
            stop.cancel()

    async def _confirm(self) -> None:
        """Confirm what is committed, so that no other program is given it; failing is harmless."""
        if not self._offset or self._is_lost:
            return
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await self._get_updates(0, limit=1)
        except (TelegramError, TimeoutError) as trouble:
            log.debug("last updates not confirmed", bot=self._name, reason=str(trouble))

    async def _get_updates(self, seconds: int, limit: int = 100) -> list[Any]:
        params = {"offset": self._offset, "limit": limit, "timeout": seconds, "allowed_updates": list(self._kinds())}
        result = await self._api.call("getUpdates", params, patience=seconds + _GRACE_SECONDS)
        if not isinstance(result, list) or not all(isinstance(item, dict) and "update_id" in item for item in result):
            raise Unavailable("getUpdates", "the answer is no list of updates", was_sent=True, was_answered=True)
        return result

    async def _apply(self, raw: list[Any]) -> None:
        now = datetime.now(UTC)
        updates = [update for update in (decode(item, now) for item in raw) if update is not None]
        if updates:
            await self._handle(updates)
            self._offset = max(update.update_id for update in updates) + 1

    def _note(self, trouble: TelegramError, waits: Backoff) -> None:
        seconds = round(waits.next_delay, 1)
        if isinstance(trouble, Conflict):
            log.error(
                "another program takes this bot's updates: containers beside a flotilla run, an old installation, or a "
                "webhook somebody has set; stop it, or give this bot a token of its own",
                bot=self._name,
                reason=trouble.description,
                seconds=seconds,
            )
        else:
            log.warning("cannot poll", bot=self._name, reason=trouble.description, seconds=seconds)
