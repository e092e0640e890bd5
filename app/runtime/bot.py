"""One bot of a host, from its first call to its last: identify, deliver what is left, take updates, lead if it may."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from app.config.settings import BotSettings, Mode
from app.course.course import Courses
from app.dialog.model import ModelClient
from app.dialog.voice import speak
from app.engine.event import Event
from app.observe.logs import get_log
from app.observe.metrics import meter_of
from app.observe.work import Work, call_bot, work_on
from app.pause import pause
from app.runtime.decision import Rules
from app.runtime.dialogs import Dialogs, Workplace
from app.runtime.intake import Intake
from app.runtime.keeper import Keeper
from app.runtime.library import Library, is_unchecked
from app.runtime.menu import set_menus
from app.runtime.outbox import Outbox, Speak
from app.runtime.plugins import Plugin
from app.runtime.settler import when_available
from app.runtime.shift import Shift
from app.runtime.turn import Feed
from app.store.errors import StoreUnavailable
from app.store.lock import BotLocks, Channel
from app.store.rows import BotFigures
from app.store.store import Store
from app.telegram.api import BotApi, TelegramSession
from app.telegram.backoff import Backoff
from app.telegram.decode import Update
from app.telegram.error import FloodWait, TelegramError, TokenRefused
from app.telegram.limits import Limits
from app.telegram.poller import Poller
from app.telegram.webhook import WebhookInfo
from app.texts import Texts, texts_for

if TYPE_CHECKING:
    from app.runtime.figures import Funnel

T = TypeVar("T")

STANDBY_SECONDS = 1.0
"""How often a standby tries to take over."""

DRAIN_SECONDS = 8.0
"""How long a stopping bot goes on sending what is committed."""

STALE_SECONDS = 90.0
"""A poller without a completed ``getUpdates`` for so long is not healthy."""

STALE_WEBHOOK_SECONDS = 300.0
"""A webhook that was not seen to be as it should be for so long is not healthy."""

MENUS_AT_ONCE = 4
"""How many bots of a host bring their menus up to date at the same time."""

log = get_log(__name__)


class State(StrEnum):
    """Where a bot stands."""

    STARTING = "starting"
    STANDBY = "standby"
    POLLING = "polling"
    WEBHOOK = "webhook"
    REFUSED = "token refused"
    FAILED = "failed"
    STOPPED = "stopped"


class Receiver(Protocol):
    """Gets updates while this process leads the bot: a poller, or the keeper of a webhook."""

    async def run(self) -> None:
        """Receive until ``stop``; raises ``TokenRefused`` when the token is revoked."""

    def stop(self, *, is_lost: bool = False) -> None:
        """End ``run``; ``is_lost`` when another host may lead the bot already."""


@dataclass(slots=True)
class Services:
    """What all bots of a host share; ``is_limited`` holds back what is above Telegram's limits.

    ``menus`` lets few bots at a time look at their menus: when a host takes over a thousand, learners come first.
    """

    session: TelegramSession
    store: Store
    locks: BotLocks
    is_limited: bool = False
    menus: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MENUS_AT_ONCE))


class Bot:
    """Runs one bot until it is stopped or its token is refused; its failures never leave it."""

    def __init__(self, settings: BotSettings, library: Library, services: Services) -> None:
        self.settings = settings
        self.library = library
        self.plugin = Plugin(settings.name, library)
        self.certificate_expiry: float | None = None
        """When the certificate of its webhook expires, as a Unix time, if it could be looked at."""
        self._meter = meter_of(settings.name)
        self.botname = settings.bot_name
        self._services = services
        self._api: BotApi
        self._receiver: Receiver | None = None
        self._shift: Shift | None = None
        self._intake: Intake | None = None
        self._limits = Limits() if services.is_limited else None
        self._is_leader = False
        self._fresh_until = time.monotonic()
        self._last_poll: datetime | None = None
        self._polled_since: datetime | None = None
        self.figures: BotFigures | None = None
        """What the database said last; ``None`` before it was asked, and while another process leads the bot."""
        self.funnels: Mapping[str, Funnel] | None = None
        """How far the runs of each course have come, likewise; by course id."""
        self.has_left = True
        self.renew()

    @property
    def is_healthy(self) -> bool:
        """Whether the bot does what it can: a poller polls, a webhook is set.

        One that has ended says so in the log; its host is well.
        """
        if self.state in (State.POLLING, State.WEBHOOK):
            return time.monotonic() < self._fresh_until
        return self.state is not State.STARTING

    @property
    def is_leader(self) -> bool:
        """Whether this process leads the bot."""
        return self._is_leader

    @property
    def last_poll(self) -> datetime | None:
        """When Telegram last answered a ``getUpdates``; ``None`` while this process does not poll the bot."""
        return self._last_poll if self._receiver is not None else None

    @property
    def polled_since(self) -> datetime | None:
        """When this process began to poll the bot; ``None`` while it does not."""
        return self._polled_since if self._receiver is not None else None

    @property
    def webhook_info(self) -> WebhookInfo | None:
        """What Telegram last said of the bot's webhook; ``None`` while this process does not keep it."""
        receiver = self._receiver  # which another thread may look at while it changes
        return receiver.info if isinstance(receiver, Keeper) else None

    @property
    def webhook_checked_at(self) -> datetime | None:
        """When Telegram said so."""
        return self._receiver.looked_at if isinstance(self._receiver, Keeper) else None

    def renew(self) -> None:
        """Get ready for ``run``, also for another one after the last has ended."""
        dialog = self.settings.dialog
        self.state = State.STARTING
        self._stop = asyncio.Event()
        self._outbox: Outbox | None = None
        self._model = ModelClient(dialog) if dialog is not None else None

    def stop(self) -> None:
        """Finish the turn under way, send what is committed, end ``run``."""
        self._stop.set()
        if self._receiver is not None:
            self._receiver.stop()

    def accept(self, update: Update) -> asyncio.Future[bool] | None:
        """Apply what came by webhook; the result is there when its effect is committed.

        It is ``False`` when Telegram has to send it again, as the database is away; ``None`` is returned for the same
        while the bot does not run here.
        """
        return self._intake.put(update) if self._intake is not None else None

    def doubt_webhook(self) -> None:
        """Hear that somebody called the webhook with another secret."""
        if isinstance(self._receiver, Keeper):
            self._receiver.doubt()

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

    async def take_over(self) -> None:
        """Send what hosts that are gone left behind."""
        if self._shift is not None:
            await self._shift.take_over()

    def texts(self, language_code: str | None) -> Texts:
        """Return the texts for a learner: the bot's language, else the learner's own."""
        return texts_for(self.settings.language or language_code)

    async def run(self, delay: float = 0.0) -> None:
        """Run the bot, first waiting ``delay`` seconds."""
        work_on(Work(self.settings.name))
        try:
            await pause(delay, self._stop)
            self._api = self._services.session.bot(self.settings.token)
            await self._identify()
            self.has_left = not self.botname
            while not self._stop.is_set():
                await self._serve()
            self.state = State.STOPPED
        except StoreUnavailable:  # raised by ``when_available`` only when the bot is to stop
            self.state = State.STOPPED
        except TokenRefused:
            self.state = State.REFUSED
            log.error(
                "telegram refuses this bot's token; get a new one from @BotFather, put it into .env, and start this"
                " process anew (a container: flotilla up)",
                bot=self.settings.name,
            )
        finally:
            if self._outbox is not None:
                await self._outbox.end()
            if self._model is not None:
                await self._model.close()
            with suppress(StoreUnavailable):
                await self.leave()

    async def leave(self) -> None:
        """Leave to other hosts what is not sent, and the lead; ``run`` does so at its end.

        Raises ``StoreUnavailable``: to be called again, lest others wait for this host to send what it has committed.
        """
        self.figures = self.funnels = None
        try:
            if not self.has_left:
                await self._services.store.leave_chats(self.botname)
                self.has_left = True
        finally:
            if self._is_leader:
                self._is_leader = False
                await self._services.locks.release(self.botname)

    async def read_courses(self) -> None:
        """Read what changed of the courses, in files and in the database, and say what came of it.

        Raises ``StoreUnavailable``, see ``Library.refresh``.
        """
        courses, problems = self.library.courses, self.library.problems
        is_first = self.library.awaits_database
        try:
            await self.library.refresh(lambda: self._services.store.courses(self.botname))
        finally:
            if self.library.problems is not problems:
                if not is_first:
                    self._tell_of(courses)
                self.library.report(self.settings.name, with_errors=not is_first)

    def _tell_of(self, before: Courses) -> None:
        is_other = self.library.courses != before
        state = "new content is in effect" if is_other else "what learners get stays as it was"
        wrong = Counter(problem.severity for problem in self.library.problems if not is_unchecked(problem))
        counts = {f"{severity}s": count for severity, count in wrong.items()}
        log.info(f"courses read again; {state}", bot=self.settings.name, **counts)

    async def _identify(self) -> None:
        """Learn the username, which also proves the token."""
        username = await self._until_answered(self._api.username)
        if not self.botname and username:
            self.botname = username
        call_bot(self.botname, self.settings.name)

    async def _serve(self) -> None:
        """Apply turns and send messages while this host is alive for the others; do more while it leads the bot."""
        death = await when_available(lambda: self._services.locks.live(self.botname), self._stop)
        if death is None:
            return await self._stand_by("another bot of this process has the same bot_name; standing by")
        try:
            await self._serve_until(death)
        finally:
            self._services.locks.leave(self.botname)
        return None

    async def _stand_by(self, reason: str) -> None:
        if self.state is not State.STANDBY:
            log.info(reason, bot=self.settings.name)
        self.state = State.STANDBY
        self.figures = self.funnels = None
        await pause(STANDBY_SECONDS, self._stop)

    async def _serve_until(self, death: asyncio.Event) -> None:
        lost = asyncio.create_task(death.wait())
        outbox = await self._new_outbox()
        shift = self._new_shift(outbox)
        intake = Intake(self.settings.name, shift.accept)

        def give_way(_: object) -> None:
            self.state = State.STARTING
            self._shift = self._intake = None
            self.plugin.abandon()
            self._is_leader = False
            outbox.close()
            intake.close(is_lost=True)
            shift.stop(is_lost=True)
            if self._receiver is not None:
                self._receiver.stop(is_lost=True)

        try:
            lost.add_done_callback(give_way)
            async with shift.hearing(self._services.locks):
                await self._read_news()
                await self.plugin.open(self._api, self.botname, self._services.store, shift)
                if not death.is_set():
                    self._shift, self._intake = shift, intake
                await self._lead_when_free(shift, intake, death)
        finally:
            self._receiver = self._shift = self._intake = None
            lost.remove_done_callback(give_way)
            if death.is_set():
                self._is_leader = False
                log.warning("lost the database connection that says this host is alive", bot=self.settings.name)
                await intake.drained()
                await self.plugin.close(0.0)
                await outbox.abandon()
            else:
                lost.cancel()
                intake.close()
                await intake.drained()
                await self.plugin.close()
                await outbox.drain(DRAIN_SECONDS)

    async def _lead_when_free(self, shift: Shift, intake: Intake, death: asyncio.Event) -> None:
        """Lead the bot once no other process does, until this one stops or is not alive for others."""
        locks = self._services.locks
        while not (self._stop.is_set() or death.is_set()):
            self._is_leader = await when_available(lambda: locks.acquire(self.botname, death), self._stop)
            if self._is_leader:
                return await self._lead(shift, self._new_receiver(shift, intake), death)
            if death.is_set():
                return None
            await self._stand_by("another process leads this bot; standing by to take over")
        return None

    async def _lead(self, shift: Shift, receiver: Receiver, death: asyncio.Event) -> None:
        """Do what one process alone does for a bot: receive, or see to it that Telegram delivers; timers; jobs."""
        is_polled = self.settings.webhook is None
        if is_polled and await self._until_answered(self._api.drop_webhook):
            log.warning("removed the bot's webhook to poll it; its pending updates are kept", bot=self.settings.name)
        await shift.take_over()
        if self._stop.is_set() or death.is_set():
            return
        self._receiver, self._last_poll = receiver, None
        self._polled_since = datetime.now(UTC) if is_polled else None
        if is_polled:
            self._received(State.POLLING, STALE_SECONDS)
        way = "polling" if is_polled else "waiting for updates by webhook"
        log.info(way, bot=self.settings.name, courses=len(self.library.courses.courses))
        async with self._setting_menus(), shift.working(self._services.locks, receiver.stop):
            await receiver.run()

    def _new_shift(self, outbox: Outbox) -> Shift:
        dialogs = Dialogs(self._workplace(outbox))
        return Shift(
            lambda: self._rules(outbox),
            self._services.store,
            outbox,
            dialogs,
            self._stop,
            self.plugin.take,
            self._meter,
        )

    def _new_receiver(self, shift: Shift, intake: Intake) -> Receiver:
        name, webhook, kinds = self.settings.name, self.settings.webhook, self.plugin.allowed_updates

        def poller() -> Poller:
            return Poller(name, self._api, shift.apply, self._polled, kinds)

        if webhook is None:
            return poller()

        async def accepted() -> object:
            return intake.accepted, await self._services.store.newest_update(self.botname)

        polling = poller if self.settings.fallback is Mode.POLLING else None
        return Keeper(name, self._api, webhook, accepted, self._verified, polling, kinds)

    async def _new_outbox(self) -> Outbox:
        if self._outbox is not None:
            await self._outbox.settled()
        self._outbox = Outbox(
            self.botname,
            self._api,
            self._services.store,
            self.settings.language,
            self._speak(),
            self._limits,
            self._meter,
        )
        return self._outbox

    def _speak(self) -> Speak | None:
        voice = self.settings.dialog.voice if self.settings.dialog is not None else None
        return partial(speak, voice) if voice is not None else None

    async def _read_news(self) -> None:
        """Read the courses: what was announced while there was no connection, nobody here has heard."""
        self._services.locks.on_notify(Channel.COURSE, self.botname, self.library.database_changed)
        await when_available(self.read_courses, self._stop)

    @asynccontextmanager
    async def _setting_menus(self) -> AsyncIterator[None]:
        """Bring the menus up to date meanwhile: no learner waits for that."""
        setting = asyncio.create_task(self._set_menus())
        try:
            yield
        finally:
            setting.cancel()
            await asyncio.gather(setting, return_exceptions=True)

    async def _set_menus(self) -> None:
        async with self._services.menus:
            await set_menus(self._api, self.settings.name, self.settings.language, self.settings.options)

    def _rules(self, outbox: Outbox) -> Rules:
        settings = self.settings
        return Rules(
            self.botname,
            self.library.courses,
            settings.language,
            outbox.has_begun,
            settings.options,
            self.plugin.kinds,
        )

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
            meter=self._meter,
        )

    def _polled(self) -> None:
        self._last_poll = datetime.now(UTC)
        self._received(State.POLLING, STALE_SECONDS)

    def _verified(self) -> None:
        self._received(State.WEBHOOK, STALE_WEBHOOK_SECONDS)

    def _received(self, state: State, seconds: float) -> None:
        """Note that updates come in this way, and for how many seconds that is good to know."""
        if self._shift is not None:  # else the last answer comes after the bot has gone to another host
            self.state, self._fresh_until = state, time.monotonic() + seconds

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the call's result, repeating it while Telegram is out of reach; ``None`` once the bot is stopped."""
        waits = Backoff()
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
                await pause(seconds, self._stop)
        return None
