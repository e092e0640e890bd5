"""Delivers the committed messages of one bot: per chat in order, different chats side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from app.course.element import Speech
from app.errors import FlotillaError
from app.observe.logs import get_log
from app.observe.metrics import Meter, meter_of
from app.observe.work import Work, work_on
from app.runtime.settler import Settler, when_available
from app.store.rows import Backlog, MediaFile, OutboxMessage, SentPoll
from app.store.store import Store
from app.telegram.api import BotApi
from app.telegram.backoff import Backoff
from app.telegram.encode import SEND_MEDIA, SEND_SPEECH, Request, new_message, voice_call
from app.telegram.error import ChatBlocked, Rejected, TokenRefused
from app.telegram.limits import Limits
from app.telegram.media import File, files_of, first_call, rest
from app.telegram.sender import Sender, SenderClosedError, Sent
from app.texts import texts_for

log = get_log(__name__)

Speak = Callable[[str, Speech], Awaitable[bytes]]
"""Returns a text as speech (MP3); raises a ``FlotillaError`` when it cannot."""

CALL_SECONDS = 5.0
"""How long calls under way may take to end when the bot goes to another host."""

MOST_SPARE = 100
"""So many messages that are no answers may be put at once when nothing limits the bot."""

_COSMETIC = ("editMessageReplyMarkup", "stopPoll")
"""Methods whose refusal costs the learner nothing: the message is gone, or already as it should be."""


_NEVER: Mapping[int | None, float] = {}


class Outbox:
    """The queues of one bot, one for each chat that has something to be sent by this host.

    What queues messages while turns are committed belongs under the lock of turns: else what is committed and what is
    read meanwhile may come twice.

    Without ``language`` the bot speaks each learner's own. Without ``speak`` replies that should be spoken are sent as
    texts.
    """

    def __init__(
        self,
        name: str,
        api: BotApi,
        store: Store,
        language: str | None = None,
        speak: Speak | None = None,
        limits: Limits | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._name = name
        self._api = api
        self._meter = meter or meter_of(name)
        self._sender = Sender(name, api, limits, self._meter)
        self._store = store
        self._settler = Settler(store, name)
        self._language = language
        self._speak_text = speak
        self._queues: dict[int, deque[OutboxMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[int] = set()
        self._begun: dict[tuple[int | None, int | None], int] = {}
        self._since: dict[int, float] = {}
        self._limits = limits
        self.on_broadcast: Callable[[], object] = lambda: None
        """Called when a message of a broadcast has left the outbox, or was given up."""

    def __len__(self) -> int:
        """Return how many messages are committed but not yet accepted by Telegram."""
        return sum(len(queue) for queue in self._queues.values())

    async def resume(self) -> None:
        """Queue what this host had not sent when it stopped sending; each such message may have been sent already."""
        left = await self._unknown()
        self._note(left)
        self.put(left)

    async def take_over(self) -> None:
        """Queue what hosts that are gone left behind; each such message may have been sent already."""
        chat_ids = await when_available(lambda: self._store.take_over_chats(self._name))
        if chat_ids:
            left = await self._unknown(chat_ids)
            self._note(left)
            self.put(left)

    async def catch_up(self) -> None:
        """Queue what was committed behind our back: by a turn that did not hear of it, or by other hosts."""
        self.put(await self._unknown())

    async def receive(
        self, messages: Sequence[OutboxMessage], backlog: Backlog, since: Mapping[int | None, float] = _NEVER
    ) -> None:
        """Queue the messages of a turn, each behind those that other hosts have left to us.

        ``since`` is when the updates came in that they answer, by chat.
        """
        for message in messages if since else ():
            if message.chat_id in since:
                self._since[message.outbox_id] = since[message.chat_id]
        if backlog.chat_ids:
            committed, own = await self._unknown(backlog.chat_ids), {message.outbox_id for message in messages}
            self._note(
                message
                for message in committed
                if message.chat_id in backlog.taken_over and message.outbox_id not in own
            )
            self.put(committed)
            messages = [message for message in messages if message.chat_id not in backlog.chat_ids]
        self.put(messages)

    def put(self, messages: Iterable[OutboxMessage]) -> None:
        """Queue committed messages, behind all that is queued for their chats."""
        for message in messages:
            queue = self._queues.get(message.chat_id)
            if queue is not None:
                queue.append(message)
                continue
            self._queues[message.chat_id] = deque([message])
            self._begin(self._work(message.chat_id))

    def notify(self, callback_id: str, text: str) -> None:
        """Answer a button press, beside the queues."""
        self._begin(self._sender.notify(callback_id, text))

    def has_begun(self, run_id: int, step: int) -> bool:
        """Tell whether the poll of this step is being sent, or was a moment ago: a vote in it may be here already."""
        return (run_id, step) in self._begun

    def is_sending(self, chat_id: int) -> bool:
        """Tell whether messages for this chat are queued: what is sent beside the queue would overtake them."""
        return chat_id in self._queues

    def spare(self) -> int:
        """Return how many messages may be put now that are no answers to learners."""
        return self._limits.spare() if self._limits is not None else MOST_SPARE

    async def drain(self, seconds: float) -> None:
        """Wait until all is sent, at most so long; what is left stays in the table for the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._settler.flush()
        await self.abandon()

    def close(self) -> None:
        """Begin no more calls."""
        self._sender.close()

    async def abandon(self) -> None:
        """Stop sending: whoever takes over delivers the rest. Calls under way may end, lest they be made again."""
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CALL_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._queues.clear()
        self._since.clear()

    async def settled(self) -> None:
        """Wait until the store knows all that was sent; a take-over before that would send it again."""
        await self._settler.flush()

    async def end(self) -> None:
        """Give up settling; what is not settled is sent again by the next start."""
        await self._settler.end()

    def _note(self, messages: Iterable[OutboxMessage]) -> None:
        """Remember messages that another process may have sent: a vote may come before we send its poll."""
        left = list(messages)
        if left:
            self._meter.resent.inc(len(left))
            log.info("sending messages left by an earlier process", bot=self._name, messages=len(left))
            self._left |= {message.outbox_id for message in left}
            self._begun |= {(message.run_id, message.step): message.outbox_id for message in left if message.run_id}

    async def _unknown(self, chat_ids: Collection[int] | None = None) -> list[OutboxMessage]:
        """Return the pending messages, or those of some chats, that are neither queued nor sent here, in order."""
        known = self._known()
        pending = await when_available(lambda: self._store.pending(self._name, chat_ids))
        known |= self._known()  # what came meanwhile; what was settled meanwhile is in the first set
        return [message for message in pending if message.outbox_id not in known]

    def _known(self) -> set[int]:
        return self._settler.unsettled | {message.outbox_id for queue in self._queues.values() for message in queue}

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, chat_id: int) -> None:
        """Send a chat's queue to its end. A queue that cannot go on keeps its place: nothing newer may overtake it."""
        queue = self._queues[chat_id]
        waits = Backoff()
        while queue:
            try:
                await self._deliver(queue)
            except SenderClosedError:
                return
            except TokenRefused:
                log.error("token refused, messages stay in the outbox", bot=self._name, messages=len(queue))
                return
            except Exception:
                log.exception("delivery failed, trying again", bot=self._name, chat=chat_id)
                await asyncio.sleep(next(waits))
        del self._queues[chat_id]

    async def _deliver(self, queue: deque[OutboxMessage]) -> None:
        message = queue[0]
        work_on(Work(self._name, message.chat_id, run=message.run_id))
        try:
            left = await self._send_or_give_up(message)
        except ChatBlocked as block:
            newest = queue[-1].outbox_id
            dropped = await when_available(lambda: self._store.block_chat(self._name, message.chat_id, newest))
            log.info(
                "chat blocked the bot, its queue is dropped", bot=self._name, reason=block.description, dropped=dropped
            )
            while queue and queue[0].outbox_id <= newest:
                dropped_one = queue.popleft()
                self._since.pop(dropped_one.outbox_id, None)
                self._left_the_outbox(dropped_one)
        else:
            if left is None:
                self._accepted(queue.popleft())
            else:
                queue[0] = left

    def _accepted(self, message: OutboxMessage) -> None:
        since = self._since.pop(message.outbox_id, None)
        if since is not None:
            self._meter.sent_seconds.observe(monotonic() - since)

    async def _send_or_give_up(self, message: OutboxMessage) -> OutboxMessage | None:
        try:
            return await self._send(message)
        except Rejected as refusal:
            await self._give_up(message, refusal)
            return None

    async def _send(self, message: OutboxMessage) -> OutboxMessage | None:
        """Send a message, or the first part of one that takes several calls; return what is left of it."""
        if message.method == SEND_MEDIA:
            return await self._send_media(message)
        if message.method == SEND_SPEECH:
            return await self._send_speech(message)
        place = (message.run_id, message.step)
        if message.run_id is not None:
            self._begun[place] = message.outbox_id
        sent = await self._send_or_edit(message.method, message.params)
        is_single = sent.is_certain and message.outbox_id not in self._left
        self._settler.sent(
            message.outbox_id, _poll(message, sent.result, is_single), settled=lambda: self._left_the_outbox(message)
        )
        return None

    async def _send_or_edit(self, method: str, params: Mapping[str, Any]) -> Sent:
        """Send a request; a text that cannot replace that of its message any more becomes a new message."""
        try:
            return await self._sender.send(Request(method, params))
        except Rejected as refusal:
            if method != "editMessageText":
                raise
            if refusal.is_unchanged:
                return Sent(None)
            log.info("message cannot be edited, sent anew", bot=self._name, reason=refusal.description)
            return await self._sender.send(new_message(params))

    async def _send_speech(self, message: OutboxMessage) -> OutboxMessage | None:
        """Send a text spoken; what is left is the texts, unless the voice message carries them."""
        params = message.params
        if "spoken" not in params:
            first, *others = params["messages"]
            await self._sender.send(Request("sendMessage", first))
            return await self._keep(message, {**params, "messages": others})
        is_spoken = await self._speak(message)
        is_complete = is_spoken and "caption" in params
        return await self._keep(message, {"messages": [] if is_complete else params["messages"]})

    async def _speak(self, message: OutboxMessage) -> bool:
        """Send the voice; tell whether it is sent."""
        params = message.params
        if self._speak_text is None:
            return False
        try:
            content = await self._speak_text(params["spoken"], Speech(**params["voice"]))
            await self._sender.send(voice_call(params, content))
        except (ChatBlocked, TokenRefused):
            raise
        except FlotillaError as trouble:
            log.warning("reply not spoken, sent as a text", bot=self._name, chat=message.chat_id, reason=str(trouble))
            return False
        return True

    async def _keep(self, message: OutboxMessage, left: dict[str, Any]) -> OutboxMessage | None:
        """Store what is left of a spoken text; nothing is left when there are no texts."""
        if not left["messages"]:
            self._settler.sent(message.outbox_id)
            return None
        await when_available(lambda: self._store.replace_params(self._name, message.outbox_id, left))
        return replace(message, params=left)

    def _left_the_outbox(self, message: OutboxMessage) -> None:
        self._begun.pop((message.run_id, message.step), None)
        if message.broadcast_id is not None:
            self.on_broadcast()

    async def _send_media(self, message: OutboxMessage) -> OutboxMessage | None:
        urls = list(message.params["media"])
        cached = await when_available(lambda: self._store.media_files(self._name, urls))
        known = {url: File(file.kind, file.file_id) for url, file in cached.items()}
        call = first_call(message.params, known)
        try:
            result = (await self._sender.send(call.request)).result
        except Rejected as refusal:
            if not refusal.is_media:
                raise
            call, result = await self._send_as_it_is(message, refusal)
        files = files_of(call, result)
        self._settler.cache([MediaFile(url, file.kind, file.file_id) for url, file in files.items() if file.file_id])
        left = rest(message.params, len(call.urls))
        if left is None:
            self._settler.sent(message.outbox_id, settled=lambda: self._left_the_outbox(message))
            return None
        await when_available(lambda: self._store.replace_params(self._name, message.outbox_id, left))
        return replace(message, params=left)

    async def _send_as_it_is(self, message: OutboxMessage, refusal: Rejected) -> tuple[Any, Any]:
        """Send the first link alone: as what its own server says it is, else as a link in a text."""
        url = message.params["media"][0]
        kind = await self._api.kind_of(url)
        single = {**message.params, "media": [url]}
        if kind is not None:
            call = first_call(single, {url: File(kind)})
            try:
                return call, (await self._sender.send(call.request)).result
            except Rejected as again:
                refusal = again
        log.warning(
            "telegram cannot use a media link, sent as a link", bot=self._name, url=url, reason=refusal.description
        )
        call = first_call(single, {})
        caption = message.params.get("caption", "")
        text = f"{caption}\n{url}".strip()
        params = {"chat_id": message.chat_id, "text": text}
        return call, (await self._sender.send(Request("sendMessage", params))).result

    async def _give_up(self, message: OutboxMessage, refusal: Rejected) -> None:
        """Keep a refused message for the operator, and give the learner its buttons under an apology.

        Nobody waits for a message of a broadcast: there the operator's count is enough.
        """
        self._begun.pop((message.run_id, message.step), None)
        self._since.pop(message.outbox_id, None)
        if message.method in _COSMETIC:
            self._settler.sent(message.outbox_id)
            return
        log.error(
            "message refused",
            bot=self._name,
            method=message.method,
            reason=refusal.description,
            outbox=message.outbox_id,
        )
        await when_available(lambda: self._store.mark_failed(self._name, message.outbox_id, refusal.description))
        if message.broadcast_id is not None:
            self.on_broadcast()
            return
        chat = await when_available(lambda: self._store.chat(self._name, message.chat_id))
        texts = texts_for(self._language or (chat.language_code if chat is not None else None))
        params = {"chat_id": message.chat_id, "text": texts.message_failed}
        last = message.params["messages"][-1] if message.method == SEND_SPEECH else message.params
        if "reply_markup" in last:
            params["reply_markup"] = last["reply_markup"]
        try:
            await self._sender.send(Request("sendMessage", params))
        except Rejected as again:
            log.error("apology refused", bot=self._name, reason=again.description)


def _poll(message: OutboxMessage, result: Any, is_single: bool) -> SentPoll | None:
    if message.run_id is None or message.step is None or not isinstance(result, dict):
        return None
    poll = result.get("poll")
    if not isinstance(poll, dict) or "id" not in poll or "message_id" not in result:
        return None
    message_id = int(result["message_id"])
    return SentPoll(str(poll["id"]), message.chat_id, message.run_id, message.step, message_id, is_single)
