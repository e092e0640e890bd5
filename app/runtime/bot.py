"""One bot of a host, from its first call to its last: identify, take its lock, deliver what is left, poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from app.config.settings import BotSettings, Mode
from app.observe.logs import get_log
from app.runtime.library import Library
from app.runtime.outbox import Outbox
from app.runtime.settler import when_available
from app.runtime.timers import Timers
from app.runtime.turn import Result, Rules, apply, deliver
from app.store.errors import StoreUnavailable
from app.store.lock import BotLocks, Channel
from app.store.store import Store
from app.telegram.api import BotApi, TelegramSession, backoff
from app.telegram.error import FloodWait, TelegramError, TokenRefused
from app.telegram.poller import Poller
from app.texts import texts_for

T = TypeVar("T")

Turn = Callable[[Store, Rules, Sequence[T]], Awaitable[Result]]
"""Applies a batch of a bot's events in one transaction."""

STANDBY_SECONDS = 1.0
"""How often a standby tries to take over."""

DRAIN_SECONDS = 8.0
"""How long a stopping bot goes on sending what is committed."""

STALE_SECONDS = 90.0
"""A poller without a completed ``getUpdates`` for so long is not healthy."""

log = get_log(__name__)


class State(StrEnum):
    """Where a bot stands."""

    STARTING = "starting"
    STANDBY = "standby"
    POLLING = "polling"
    REFUSED = "token refused"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Services:
    """What all bots of a host share."""

    session: TelegramSession
    store: Store
    locks: BotLocks


class Bot:
    """Runs one bot until it is stopped or its token is refused; its failures never leave it."""

    def __init__(self, settings: BotSettings, library: Library, services: Services) -> None:
        self.settings = settings
        self.library = library
        self.state = State.STARTING
        self.botname = settings.bot_name
        self._services = services
        self._api: BotApi
        self._stop = asyncio.Event()
        self._poller: Poller | None = None
        self._outbox: Outbox | None = None
        self._turns = asyncio.Lock()
        self._last_poll = time.monotonic()

    @property
    def is_healthy(self) -> bool:
        """Whether the bot does what it can: a poller polls. One that has ended says so in the log; its host is well."""
        if self.state is State.POLLING:
            return time.monotonic() - self._last_poll < STALE_SECONDS
        return self.state is not State.STARTING

    def stop(self) -> None:
        """Finish the turn under way, send what is committed, end ``run``."""
        self._stop.set()
        if self._poller is not None:
            self._poller.stop()

    async def run(self, delay: float = 0.0) -> None:
        """Run the bot, first waiting ``delay`` seconds."""
        try:
            await self._pause(delay)
            self._api = self._services.session.bot(self.settings.token)
            await self._identify()
            while not self._stop.is_set():
                if await self._take_lock():
                    await self._serve()
            self.state = State.STOPPED
        except StoreUnavailable:  # raised by ``when_available`` only when the bot is to stop
            self.state = State.STOPPED
        except TokenRefused:
            self.state = State.REFUSED
            log.error(
                "telegram refuses this bot's token; get a new one from @BotFather, put it into .env, restart the bot",
                bot=self.settings.name,
            )
        finally:
            if self._outbox is not None:
                await self._outbox.end()
            if self.botname in self._services.locks.held and self.state is not State.STANDBY:
                with suppress(StoreUnavailable):
                    await self._services.locks.release(self.botname)

    async def read_courses(self) -> None:
        """Read what changed of the courses, in files and in the database, and say what came of it.

        Raises ``StoreUnavailable``, see ``Library.refresh``.
        """
        courses, problems = self.library.courses, self.library.problems
        try:
            await self.library.refresh(lambda: self._services.store.courses(self.botname))
        finally:
            if self.library.problems is not problems:
                is_other = self.library.courses != courses
                state = "new content is in effect" if is_other else "what learners get stays as it was"
                log.info(f"courses read again; {state}", bot=self.settings.name)
                self.library.report(self.settings.name)

    async def _identify(self) -> None:
        """Learn the username, which also proves the token."""
        username = await self._until_answered(self._api.username)
        if not self.botname and username:
            self.botname = username

    async def _take_lock(self) -> bool:
        if await when_available(lambda: self._services.locks.acquire(self.botname), self._stop):
            return True
        if self.state is not State.STANDBY:
            log.info("another process runs this bot; standing by to take over", bot=self.settings.name)
        self.state = State.STANDBY
        await self._pause(STANDBY_SECONDS)
        return False

    async def _serve(self) -> None:
        """Take updates and send messages while this process holds the bot's lock."""
        lost = asyncio.create_task(self._services.locks.lost(self.botname))
        outbox = await self._new_outbox()
        store = self._services.store
        timers = Timers(self.botname, store, lambda due: self._turn(outbox, timers, deliver, due), self._stop)
        poller = Poller(
            self.settings.name, self._api, lambda updates: self._turn(outbox, timers, apply, updates), self._completed
        )

        def give_way(_: object) -> None:
            self.state = State.STARTING
            outbox.close()
            poller.stop(is_lost=True)

        try:
            if not await self._prepare(outbox):
                return
            self._poller = poller
            lost.add_done_callback(give_way)
            self._completed()
            self.state = State.POLLING
            log.info("polling", bot=self.settings.name, courses=len(self.library.courses.courses))
            async with self._running(timers, poller):
                await poller.run()
        finally:
            self._poller = None
            lost.remove_done_callback(give_way)
            if lost.done():
                log.warning("lost the bot's lock with the database connection", bot=self.settings.name)
                await outbox.abandon()
            else:
                lost.cancel()
                await outbox.drain(DRAIN_SECONDS)

    async def _new_outbox(self) -> Outbox:
        if self._outbox is not None:
            await self._outbox.settled()
        self._outbox = Outbox(self.botname, self._api, self._services.store, texts_for(self.settings.language))
        return self._outbox

    async def _prepare(self, outbox: Outbox) -> bool:
        """Make the bot ready to be polled; tell whether it is, or is stopped meanwhile."""
        if await self._until_answered(self._api.drop_webhook):
            log.warning("removed the bot's webhook to poll it; its pending updates are kept", bot=self.settings.name)
        if self.settings.mode is Mode.WEBHOOK:
            log.warning("mode: webhook is not supported yet; the bot is polled instead", bot=self.settings.name)
        if self._stop.is_set():
            return False
        await outbox.take_over()
        # What was announced while another process had the lock, nobody here has heard.
        self._services.locks.on_notify(Channel.COURSE, self.botname, self.library.database_changed)
        await when_available(self.read_courses, self._stop)
        return True

    @asynccontextmanager
    async def _running(self, timers: Timers, poller: Poller) -> AsyncIterator[None]:
        """Deliver timers meanwhile, and finish the delivery under way at the end; their defect ends the poller too."""
        self._services.locks.on_notify(Channel.TIMER, self.botname, timers.wake)
        running = asyncio.create_task(timers.run())
        running.add_done_callback(lambda _: poller.stop())
        try:
            yield
        finally:
            timers.stop()
            await running

    async def _turn(self, outbox: Outbox, timers: Timers, turn: Turn[T], batch: Sequence[T]) -> None:
        """Commit a turn and pass on what follows; one at a time, so that messages are queued as they were committed."""
        rules = Rules(self.botname, self.library.courses, self.settings.language, outbox.has_begun)
        attempts = 0

        async def attempt() -> Result:
            nonlocal attempts
            attempts += 1
            return await turn(self._services.store, rules, batch)

        async with self._turns:
            result = await when_available(attempt, self._stop)
            # A failed attempt, or another host, may have committed without our hearing of it.
            if attempts > 1 or result.seen:
                await outbox.catch_up()
            else:
                outbox.put(result.messages)
        for callback_id, text in result.notices:
            outbox.notify(callback_id, text)
        if result.has_timers or attempts > 1:
            timers.wake()

    def _completed(self) -> None:
        self._last_poll = time.monotonic()

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the call's result, repeating it while Telegram is out of reach; ``None`` once the bot is stopped."""
        waits = backoff()
        while not self._stop.is_set():
            try:
                return await call()
            except TokenRefused:
                raise
            except TelegramError as trouble:
                seconds = trouble.retry_after if isinstance(trouble, FloodWait) else next(waits)
                log.warning(
                    "cannot start yet", bot=self.settings.name, reason=trouble.description, seconds=round(seconds, 1)
                )
                await self._pause(seconds)
        return None

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
