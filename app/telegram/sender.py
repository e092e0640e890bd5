"""Performs requests until Telegram accepts them, refuses them for good, or the learner has blocked the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.observe.logs import get_log
from app.observe.metrics import Meter, SendOutcome, meter_of
from app.pause import pause
from app.telegram.api import ANSWER_TIMEOUT, BotApi
from app.telegram.backoff import Backoff
from app.telegram.encode import Request
from app.telegram.error import FloodWait, Rejected, TelegramError, Unavailable
from app.telegram.limits import FREE_METHODS, Limits

IN_FLIGHT = 30
"""Most calls of one bot under way at once."""

MEDIA_PATIENCE = 120.0
"""Seconds that a call with media may take: Telegram fetches the files before it answers."""

MOST_UNANSWERED = 5
"""A request that was sent so often without any answer counts as accepted, or the learner would get it for ever."""

BOT_WIDE_CHATS = 3
"""So many chats waiting out floods at once mean that the limit is the bot's."""

log = get_log(__name__)


class SenderClosedError(Exception):
    """The sender was closed before the request was accepted."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Telegram's result; not ``is_certain`` when an earlier attempt got no answer: the learner may see it twice."""

    result: Any
    is_certain: bool = True


class Sender:
    """Sends the requests of one bot. Callers keep the order within a chat by awaiting one request before the next.

    Without ``limits`` it is as fast as the server allows.
    """

    def __init__(self, name: str, api: BotApi, limits: Limits | None = None, meter: Meter | None = None) -> None:
        self._name = name
        self._meter = meter or meter_of(name)
        self._api = api
        self._limits = limits
        self._open = asyncio.Event()
        self._open.set()
        self._closed = asyncio.Event()
        self._waiting: set[object] = set()
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    def close(self) -> None:
        """Begin no more calls: those under way end as they may, all waiting ones raise ``SenderClosedError``."""
        self._closed.set()
        self._open.set()
        if self._limits is not None:
            self._limits.dismiss()

    async def send(self, request: Request) -> Sent:
        """Perform one request until Telegram accepts it.

        Waits out floods (429), and retries what did not reach Telegram or failed there (5xx), for as long as it takes.
        A request that was sent but never answered is retried as well and counted as unknown: the learner may see it
        twice. A text whose markup Telegram cannot read is sent again as plain text. Raises ``ChatBlocked``,
        ``Rejected``, ``TokenRefused`` and ``SenderClosedError``.
        """
        waits = Backoff(30.0)
        params = request.params
        is_certain, unanswered = True, 0
        while True:
            try:
                result = await self._call(request, params)
            except FloodWait as flood:
                self._count(request, "flood")
                await self._wait_out(flood, params.get("chat_id"))
            except Unavailable as trouble:
                self._count(request, "unavailable")
                self._note_trouble(request.method, trouble, waits)
                is_certain = is_certain and not trouble.was_sent
                unanswered += trouble.was_sent and not trouble.was_answered
                if unanswered == MOST_UNANSWERED:
                    return Sent(None, is_certain=False)
                await self._sleep(next(waits))
            except Rejected as refusal:
                plain = plain_text(params)
                if not refusal.is_markup or plain is None:
                    self._count(request, "rejected")
                    raise
                log.warning(
                    "markup refused, sent as plain text",
                    bot=self._name,
                    method=request.method,
                    reason=refusal.description,
                )
                params = plain
            except TelegramError:
                self._count(request, "refused")
                raise
            else:
                self._count(request, "sent")
                return Sent(result, is_certain)

    async def notify(self, callback_id: str, text: str) -> None:
        """Answer a callback query once; its failure is of no consequence some seconds later."""
        params: dict[str, Any] = {"callback_query_id": callback_id}
        if text:
            params["text"] = text[:200]
        try:
            await self._api.call("answerCallbackQuery", params)
        except TelegramError as trouble:
            log.debug("press not answered", bot=self._name, reason=trouble.description)

    async def _call(self, request: Request, params: Mapping[str, Any]) -> Any:
        """Make the call when the limits admit it."""
        limits = self._limits
        if limits is None or request.method in FREE_METHODS:
            return await self._perform(request, params)
        chat_id = params["chat_id"]
        while seconds := limits.pause(chat_id):
            await self._sleep(seconds)
        if not await limits.begin():
            raise SenderClosedError
        try:
            return await self._perform(request, params)
        finally:
            limits.end(chat_id)

    async def _perform(self, request: Request, params: Mapping[str, Any]) -> Any:
        patience = ANSWER_TIMEOUT if request.method in _QUICK else MEDIA_PATIENCE
        while True:
            await self._open.wait()
            async with self._slots:
                if self._closed.is_set():
                    raise SenderClosedError
                if self._open.is_set():  # a flood may have begun while this call waited for its slot
                    if request.upload is not None:
                        return await self._api.upload(request.method, params, request.upload, patience=patience)
                    return await self._api.call(request.method, params, patience=patience)

    async def _wait_out(self, flood: FloodWait, chat: object) -> None:
        log.warning("flood wait", bot=self._name, seconds=flood.retry_after, chat=chat)
        self._waiting.add(chat)
        if len(self._waiting) >= BOT_WIDE_CHATS:
            self._open.clear()
        try:
            await self._sleep(flood.retry_after)
        finally:
            self._waiting.discard(chat)
            if len(self._waiting) < BOT_WIDE_CHATS:  # those left may have long waits of their own
                self._open.set()

    async def _sleep(self, seconds: float) -> None:
        await pause(seconds, self._closed)
        if self._closed.is_set():
            raise SenderClosedError

    def _count(self, request: Request, outcome: SendOutcome) -> None:
        self._meter.called(request.method, outcome)

    def _note_trouble(self, method: str, trouble: Unavailable, waits: Backoff) -> None:
        if trouble.was_sent:
            self._meter.unknown_sends.inc()
        log.warning(
            "telegram unavailable, will send again",
            bot=self._name,
            method=method,
            reason=trouble.description,
            seconds=round(waits.next_delay, 1),
            unknown=trouble.was_sent,
        )


_QUICK = ("sendMessage", "sendPoll", "stopPoll", "editMessageReplyMarkup", "editMessageText")


def plain_text(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters without any parse mode, ``None`` when there is none to take away."""
    plain = {key: value for key, value in params.items() if key != "parse_mode"}
    if isinstance(plain.get("media"), list):
        plain["media"] = [{key: value for key, value in item.items() if key != "parse_mode"} for item in plain["media"]]
    return plain if plain != dict(params) else None
