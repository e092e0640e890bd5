"""Performs requests until Telegram accepts them, refuses them for good, or the learner has blocked the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.observe.logs import get_log
from app.observe.metrics import SENDS, UNKNOWN_SENDS
from app.telegram.api import BotApi, backoff
from app.telegram.encode import Request
from app.telegram.error import FloodWait, Rejected, TelegramError, TokenRefused, Unavailable

IN_FLIGHT = 30
"""Most calls of one bot under way at once."""

if TYPE_CHECKING:
    from aiogram.utils.backoff import Backoff

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """Telegram's result; not ``is_certain`` when an earlier attempt got no answer: the learner may see it twice."""

    result: Any
    is_certain: bool = True


class Sender:
    """Sends the requests of one bot. Callers keep the order within a chat by awaiting one request before the next."""

    def __init__(self, name: str, api: BotApi) -> None:
        self._name = name
        self._api = api
        self._pause = asyncio.Event()
        self._pause.set()
        self._waiting: set[object] = set()
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, request: Request) -> Sent:
        """Perform one request until Telegram accepts it.

        Waits out floods (429), and retries what did not reach Telegram or failed there (5xx), for as long as it takes.
        A request that was sent but never answered is retried as well and counted as unknown: the learner may see it
        twice. A text whose markup Telegram cannot read is sent again as plain text. Raises ``ChatBlocked``,
        ``Rejected`` and ``TokenRefused``.
        """
        waits = backoff(30.0)
        params = request.params
        is_certain = True
        while True:
            await self._pause.wait()
            try:
                async with self._slots:
                    result = await self._api.call(request.method, params)
            except FloodWait as flood:
                SENDS.labels(self._name, request.method, "flood").inc()
                await self._wait_out(flood, params.get("chat_id"))
            except Unavailable as trouble:
                SENDS.labels(self._name, request.method, "unavailable").inc()
                self._note_trouble(request.method, trouble, waits)
                is_certain = is_certain and not trouble.was_sent
                await waits.asleep()
            except Rejected as refusal:
                plain = plain_text(params)
                if not refusal.is_markup or plain is None:
                    SENDS.labels(self._name, request.method, "rejected").inc()
                    raise
                log.warning(
                    "markup refused, sent as plain text",
                    bot=self._name,
                    method=request.method,
                    reason=refusal.description,
                )
                params = plain
            except TelegramError:
                SENDS.labels(self._name, request.method, "refused").inc()
                raise
            else:
                SENDS.labels(self._name, request.method, "sent").inc()
                return Sent(result, is_certain)

    async def notify(self, callback_id: str, text: str) -> None:
        """Answer a callback query once; its failure is of no consequence some seconds later."""
        params: dict[str, Any] = {"callback_query_id": callback_id}
        if text:
            params["text"] = text[:200]
        try:
            await self._api.call("answerCallbackQuery", params)
        except (Rejected, FloodWait, Unavailable, TokenRefused) as trouble:
            log.debug("press not answered", bot=self._name, reason=trouble.description)

    async def _wait_out(self, flood: FloodWait, chat: object) -> None:
        log.warning("flood wait", bot=self._name, seconds=flood.retry_after, chat=chat)
        # One chat's limit leaves the others alone; a second chat in the same pause means that it is the bot's.
        is_bot_wide = bool(self._waiting - {chat})
        self._waiting.add(chat)
        if is_bot_wide:
            self._pause.clear()
        try:
            await asyncio.sleep(flood.retry_after)
        finally:
            self._waiting.discard(chat)
            if not self._waiting:
                self._pause.set()

    def _note_trouble(self, method: str, trouble: Unavailable, waits: Backoff) -> None:
        if trouble.was_sent:
            UNKNOWN_SENDS.labels(self._name).inc()
        log.warning(
            "telegram unavailable, will send again",
            bot=self._name,
            method=method,
            reason=trouble.description,
            seconds=round(waits.next_delay, 1),
            unknown=trouble.was_sent,
        )


def plain_text(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters without any parse mode, ``None`` when there is none to take away."""
    plain = {key: value for key, value in params.items() if key != "parse_mode"}
    if isinstance(plain.get("media"), list):
        plain["media"] = [{key: value for key, value in item.items() if key != "parse_mode"} for item in plain["media"]]
    return plain if plain != dict(params) else None
