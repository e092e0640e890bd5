"""The message that shows a reply while the model writes it, and the sign that it does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from html import escape, unescape
from typing import Any

from app.course.element import ParseMode
from app.course.markup import split
from app.engine.reply import to_html
from app.observe.logs import get_log
from app.pause import pause
from app.telegram.api import BotApi
from app.telegram.error import FloodWait, Rejected, TelegramError, Unavailable

EDIT_SECONDS = 1.5
"""Pause between two edits: Telegram admits about one message a second in a chat."""

TYPING_SECONDS = 4.0
"""Telegram shows that a bot is typing for five seconds."""

PATIENCE = 10.0
"""Seconds that a call may take; its failure costs the learner nothing."""

log = get_log(__name__)


def shown(text: str, markers: Iterable[str]) -> str:
    """Return what a learner may see of a reply so far: no stop markers, nor what may become one at the end."""
    markers = [marker for marker in markers if marker]
    while found := next((marker for marker in markers if marker in text), None):
        text = text.replace(found, "")
    begun = max((_begun(text, marker) for marker in markers), default=0)
    return text[: len(text) - begun].strip()


def as_html(text: str, *, is_html: bool) -> str:
    """Return the beginning of a reply as Telegram's HTML; of one in HTML, whose end is missing, without its tags."""
    if not text:
        return ""
    return escape(unescape(_TAG.sub("", text)), quote=False).strip() if is_html else to_html(text)


_TAG = re.compile(r"</?[a-zA-Z][^>]*(?:>|$)")


def _begun(text: str, marker: str) -> int:
    """Return how many characters at the end of the text are a beginning of the marker."""
    return next((length for length in range(len(marker) - 1, 0, -1) if text.endswith(marker[:length])), 0)


class Draft:
    """A message that grows with the reply. It is beside the outbox, and its failures are of no consequence.

    ``message_id`` is the message that shows an earlier attempt at the reply; ``keep`` stores that of a new one before
    anything else happens. ``html_of`` makes what the learner sees of the text so far. Nothing is shown while
    ``may_show`` says no.
    """

    def __init__(
        self,
        api: BotApi,
        chat_id: int,
        message_id: int | None,
        html_of: Callable[[str], str],
        keep: Callable[[int], Awaitable[None]],
        may_show: Callable[[], Awaitable[bool]],
    ) -> None:
        self.message_id = message_id
        self._api = api
        self._chat_id = chat_id
        self._html_of = html_of
        self._keep = keep
        self._may_show = may_show
        self._text = self._visible = ""
        self._told = asyncio.Event()
        self._ended = asyncio.Event()

    def tell(self, text: str) -> None:
        """Show this text soon; costs nothing, as replies come in many small pieces."""
        self._text = text
        self._told.set()

    @asynccontextmanager
    async def growing(self) -> AsyncIterator[None]:
        """Show what is told meanwhile; at the end no call is under way any more."""
        showing = asyncio.create_task(self._grow())
        try:
            yield
        finally:
            self._ended.set()
            self._told.set()
            try:
                await showing
            except asyncio.CancelledError:
                showing.cancel()
                raise

    async def _grow(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            if self._ended.is_set():
                return
            seconds = await self._show()
            if seconds is None:
                return
            await pause(seconds, self._ended)

    async def _show(self) -> float | None:
        """Show the text as it is now, and return how long to wait before the next time; ``None``: no more."""
        text = split(self._html_of(self._text), ParseMode.HTML)[0]
        if not text or text == self._visible:
            return EDIT_SECONDS
        if not await self._may_show():
            self._told.set()  # look again, also if the reply does not grow any more
            return EDIT_SECONDS
        try:
            await self._send_or_edit(text)
        except FloodWait as flood:
            return max(flood.retry_after, EDIT_SECONDS)
        except TelegramError as trouble:
            log.debug("reply is not shown while it is written", chat=self._chat_id, reason=trouble.description)
            return EDIT_SECONDS if self._may_go_on(trouble) else None
        self._visible = text
        return EDIT_SECONDS

    def _may_go_on(self, trouble: TelegramError) -> bool:
        if isinstance(trouble, Unavailable):
            # A message that may have been sent must not be sent a second time: the learner would keep both.
            return self.message_id is not None or not trouble.was_sent
        return isinstance(trouble, Rejected) and trouble.is_unchanged

    async def _send_or_edit(self, text: str) -> None:
        params: dict[str, Any] = {"chat_id": self._chat_id, "text": text, "parse_mode": ParseMode.HTML.value}
        if self.message_id is not None:
            params["message_id"] = self.message_id
            await self._api.call("editMessageText", params, patience=PATIENCE)
            return
        sent = await self._api.call("sendMessage", params, patience=PATIENCE)
        self.message_id = int(sent["message_id"])
        await self._keep(self.message_id)


async def delete_draft(api: BotApi, chat_id: int, message_id: int) -> None:
    """Take a message away that shows a reply which nobody waits for any more."""
    params = {"chat_id": chat_id, "message_id": message_id}
    with suppress(TelegramError):
        await api.call("deleteMessage", params, patience=PATIENCE)


@asynccontextmanager
async def typing(api: BotApi, chat_id: int) -> AsyncIterator[None]:
    """Show the learner meanwhile that the bot is typing."""
    showing = asyncio.create_task(_type(api, chat_id))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _type(api: BotApi, chat_id: int) -> None:
    while True:
        with suppress(TelegramError):
            await api.call("sendChatAction", {"chat_id": chat_id, "action": "typing"}, patience=PATIENCE)
        await asyncio.sleep(TYPING_SECONDS)
