"""One bot of a host, from its first call to its last: identify, take its lock, deliver what is left, poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

from app.config.settings import BotSettings, Mode
from app.dialog.model import ModelClient
from app.dialog.voice import speak
from app.engine.event import Event
from app.observe.logs import get_log
from app.runtime.decision import Rules
from app.runtime.dialogs import Dialogs, Workplace
from app.runtime.library import Library
from app.runtime.menu import set_menus
from app.runtime.outbox import Outbox, Speak
from app.runtime.settler import when_available
from app.runtime.shift import Shift
from app.runtime.turn import Feed
from app.store.errors import StoreUnavailable
from app.store.lock import BotLocks, Channel
from app.store.store import Store
from app.telegram.api import BotApi, TelegramSession, backoff
from app.telegram.error import FloodWait, TelegramError, TokenRefused
from app.telegram.limits import Limits
from app.telegram.poller import Poller
from app.texts import Texts, texts_for

T = TypeVar("T")

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
    """What all bots of a host share; ``is_limited`` holds back what is above Telegram's limits."""

    session: TelegramSession
    store: Store
    locks: BotLocks
    is_limited: bool = False


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
        self._shift: Shift | None = None
        self._model = ModelClient(settings.dialog) if settings.dialog is not None else None
        self._limits = Limits() if services.is_limited else None
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

    async def feed(self, event: Event) -> bool:
        """Apply what the learner did elsewhere than in the chat, and return when its effect is committed.

        ``False``, and no effect, while the bot does not run here: another process has it, or it is about to stop.
        """
        shift = self._shift
        if shift is None:
            return False
        try:
            await shift.feed(Feed(event))
        except StoreUnavailable:
            return False
        return True

    def texts(self, language_code: str | None) -> Texts:
        """Return the texts for a learner: the bot's language, else the learner's own."""
        return texts_for(self.settings.language or language_code)

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
            if self._model is not None:
                await self._model.close()
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
        """Take updates, do what is due and send messages while this process holds the bot's lock."""
        lost = asyncio.create_task(self._services.locks.lost(self.botname))
        outbox = await self._new_outbox()
        shift = Shift(
            lambda: self._rules(outbox), self._services.store, outbox, Dialogs(self._workplace(outbox)), self._stop
        )
        poller = Poller(self.settings.name, self._api, shift.apply, self._completed)

        def give_way(_: object) -> None:
            self.state = State.STARTING
            self._shift = None
            outbox.close()
            shift.stop(is_lost=True)
            poller.stop(is_lost=True)

        try:
            if not await self._prepare(outbox):
                return
            self._poller, self._shift = poller, shift
            lost.add_done_callback(give_way)
            self._completed()
            self.state = State.POLLING
            log.info("polling", bot=self.settings.name, courses=len(self.library.courses.courses))
            async with self._setting_menus(), shift.working(self._services.locks, poller.stop):
                await poller.run()
        finally:
            self._poller = self._shift = None
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
        self._outbox = Outbox(
            self.botname, self._api, self._services.store, self.settings.language, self._speak(), self._limits
        )
        return self._outbox

    def _speak(self) -> Speak | None:
        voice = self.settings.dialog.voice if self.settings.dialog is not None else None
        return partial(speak, voice) if voice is not None else None

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
    async def _setting_menus(self) -> AsyncIterator[None]:
        """Bring the menus up to date meanwhile: no learner waits for that."""
        name, options = self.settings.name, self.settings.options
        setting = asyncio.create_task(set_menus(self._api, name, self.settings.language, options))
        try:
            yield
        finally:
            setting.cancel()
            await asyncio.gather(setting, return_exceptions=True)

    def _rules(self, outbox: Outbox) -> Rules:
        settings = self.settings
        return Rules(self.botname, self.library.courses, settings.language, outbox.has_begun, settings.options)

    def _workplace(self, outbox: Outbox) -> Workplace:
        return Workplace(
            botname=self.botname,
            options=self.settings.options,
            settings=self.settings.dialog,
            model=self._model,
            courses=lambda: self.library.courses,
            store=self._services.store,
            api=self._api,
            is_sending=outbox.is_sending,
            stop=self._stop,
        )

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
