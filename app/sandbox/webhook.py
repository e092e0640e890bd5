"""Delivery of updates to a bot's webhook."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import aiohttp

if TYPE_CHECKING:
    from app.sandbox.state import Bot

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds between attempts: doubled after each failure, up to this."""
ANSWER_TIME = 60.0
"""Seconds a webhook has to answer."""
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105
CallMethod = Callable[[str, dict[str, Any]], Awaitable[object]]


@dataclass(slots=True)
class Webhook:
    """Where a bot wants its updates, and how the last delivery failed."""

    url: str
    secret: str = field(default="", repr=False)
    max_connections: int = 40
    certificate: str | None = field(default=None, repr=False)
    """The bot's own certificate (PEM), which is trusted then."""
    last_error_date: int | None = None
    last_error_message: str | None = None

    def failed(self, message: str) -> None:
        """Record a failed delivery."""
        self.last_error_date, self.last_error_message = int(time.time()), message


class WebhookDelivery:
    """Posts a bot's updates to its webhook: those of one learner in order, those of different learners side by side.

    What is to be repeated waits for nobody, not even for the same update that is under way.
    """

    def __init__(self, bot: Bot, webhook: Webhook, call: CallMethod) -> None:
        self._bot = bot
        self._webhook = webhook
        self._call = call
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._repeats: set[asyncio.Task[None]] = set()
        self._trust = ssl.create_default_context(cadata=webhook.certificate)
        if webhook.certificate:  # it need not be that of an authority
            self._trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIME)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
            while True:
                await self._bot.updates.arrivals.until(lambda: self._may_repeat() or self._next() is not None)
                if self._may_repeat():
                    self._repeat(session, tasks)
                update = self._next()
                if update is not None:
                    lane = _learner_of(update)
                    self._busy[lane] = tasks.create_task(self._deliver(session, lane, update))

    def _next(self) -> dict[str, Any] | None:
        """Return the first update of a learner for whom nothing is under way."""
        if not self._has_room():
            return None
        return next((update for update in self._bot.updates.pending if _learner_of(update) not in self._busy), None)

    def _has_room(self) -> bool:
        return len(self._busy) + len(self._repeats) < self._webhook.max_connections

    def _may_repeat(self) -> bool:
        return bool(self._bot.updates.repeated) and self._has_room()

    def _repeat(self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        update = self._bot.updates.repeated.popleft()
        task = tasks.create_task(self._insist(session, update))
        self._repeats.add(task)
        task.add_done_callback(self._repeated)

    def _repeated(self, task: asyncio.Task[None]) -> None:
        self._repeats.discard(task)
        self._bot.updates.changed()

    async def _deliver(self, session: aiohttp.ClientSession, lane: int, update: dict[str, Any]) -> None:
        await self._insist(session, update)
        if update in self._bot.updates.pending:
            self._bot.updates.pending.remove(update)
        del self._busy[lane]
        self._bot.updates.changed()

    async def _insist(self, session: aiohttp.ClientSession, update: dict[str, Any]) -> None:
        pause = FIRST_PAUSE
        while not await self._attempt(session, update):
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _attempt(self, session: aiohttp.ClientSession, update: dict[str, Any]) -> bool:
        headers = {"Content-Type": "application/json"}
        if self._webhook.secret:
            headers[SECRET_HEADER] = self._webhook.secret
        content = io.BytesIO(json.dumps(update).encode())
        try:
            async with session.post(
                self._webhook.url, data=content, headers=headers, ssl=self._trust, allow_redirects=False
            ) as response:
                body = await response.read()
                if 200 <= response.status < 300:
                    await self._perform(response.content_type, body)
                    return True
                self._webhook.failed(f"Wrong response from the webhook: {response.status} {response.reason}")
        except TimeoutError:
            self._webhook.failed("Read timeout expired")
        except aiohttp.ClientSSLError:
            self._webhook.failed("SSL error {error:0A000086:SSL routines::certificate verify failed}")
        except aiohttp.ClientError as error:
            self._webhook.failed(f"Connection failed: {type(error).__name__}")
        self._bot.changes.mark()
        return False

    async def _perform(self, content_type: str, body: bytes) -> None:
        """Carry out the method call that the answer may hold; its result is never seen by anyone."""
        values = parse_call(content_type, body)
        if values and isinstance(method := values.pop("method", None), str):
            await self._call(method, values)


def parse_call(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the arguments in the body of an answer to a webhook request, empty if there is no call."""
    try:
        if content_type == "application/json":
            values = json.loads(body)
            return values if isinstance(values, dict) else {}
        if content_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode()))
    except (ValueError, RecursionError):
        pass
    return {}


def _learner_of(update: dict[str, Any]) -> int:
    """Return the id of the person an update is about, 0 if there is none."""
    for content in update.values():
        if isinstance(content, dict):
            person = content.get("from") or content.get("user")
            if isinstance(person, dict) and isinstance(person.get("id"), int):
                return int(person["id"])
    return 0
