"""The watch that hosts keep over the fleet: each reports its own bots, one looks at all and tells the operators.

The one is whoever has the lock of the watch. What it has told is in the database, so that the next one goes on from
there. While the database is away, the one that had the lock last tells of that, and where hosts start without one, the
speaker of the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from app.config.settings import AlertSettings, HostSettings
from app.observe.logs import get_log
from app.observe.metrics import TOKENS_REFUSED
from app.pause import pause
from app.runtime import alerts
from app.runtime.alerts import Alert, Finding, News, findings, news, noted, text_of, told
from app.runtime.bot import Bot, Services, State
from app.runtime.signs import Eye, troubles
from app.store.connection import Notify, seldom, wait_until_ready
from app.store.errors import StoreError, StoreUnavailable
from app.store.store import Store
from app.store.watch import Alarm, Entry
from app.telegram.api import TelegramSession
from app.telegram.backoff import Backoff
from app.telegram.error import FloodWait, TelegramError

REPORT_SECONDS = 60.0
"""How often a host says again what has not changed."""

FORGET_SECONDS = 3600.0
"""How often old entries are deleted."""

ANSWER_SECONDS = 10.0
"""How long Telegram may take for a message."""

START_SECONDS = 15.0
"""How long a start waits for the database until it notes that it is away."""

READY_SECONDS = 3.0
"""How long Prometheus and Alertmanager may take to say that they are ready."""

LONGEST_PAUSE = 600.0
"""How long it takes at most until the next attempt after messages could not be sent."""

END_SECONDS = 5.0
"""How long the last look may hold up the end of a host."""

log = get_log(__name__)


@asynccontextmanager
async def watching(
    settings: HostSettings, bots: Sequence[Bot], services: Services, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Keep the watch meanwhile, if operators are to be told; ``stop`` is set when the host ends because it should."""
    if settings.alerts is None:
        yield
        return
    watcher = Watcher(bots, services, Messenger(settings.alerts, services.session), settings.disk)
    task = asyncio.create_task(watcher.run(), name="watch")
    try:
        yield
    finally:
        watcher.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await task
                await watcher.end(is_wanted=stop.is_set())


class Messenger:
    """Sends messages to the operators' chat; failing is logged, and hurts nobody."""

    def __init__(self, settings: AlertSettings, session: TelegramSession) -> None:
        self._settings = settings
        self._session = session
        self.pace = alerts.PACE
        self._not_before = 0.0
        self._waits = Backoff(LONGEST_PAUSE)

    async def tell(self, alarms: tuple[Alarm, ...], now: datetime) -> tuple[Alarm, ...]:
        """Tell what is to be told of alarms, and return them as they are then."""
        message = news(alarms, now, self.pace)
        return told(alarms, message, now) if message is not None and await self._send(message, now) else alarms

    async def _send(self, message: News, now: datetime) -> bool:
        """Tell something, and say whether it is told; after a failure it is not tried for a while."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            return False
        if await self._is_told_elsewhere():
            return True
        text = text_of(message, now, self._settings.runbook)
        params = {"chat_id": self._chat_id, "text": text, "link_preview_options": {"is_disabled": True}}
        try:
            await self._session.bot(self._settings.token).call("sendMessage", params, patience=ANSWER_SECONDS)
        except TelegramError as trouble:
            pause = trouble.retry_after if isinstance(trouble, FloodWait) else next(self._waits)
            self._not_before = loop.time() + pause
            log.warning(
                "an alert cannot be sent; see alerts/chat_id and alerts/token_env, and let the chat admit the bot",
                chat=self._settings.chat_id,
                reason=trouble.description,
                seconds=round(pause),
            )
            return False
        self._waits.reset()
        return True

    async def _is_told_elsewhere(self) -> bool:
        """Tell whether Prometheus and Alertmanager are there to do it."""
        async with ClientSession(timeout=ClientTimeout(total=READY_SECONDS)) as http:
            for url in self._settings.monitoring:
                try:
                    async with http.get(url) as answer:
                        is_ready = answer.status == 200
                except (ClientError, TimeoutError, ValueError):
                    is_ready = False
                if not is_ready:
                    return False
        return bool(self._settings.monitoring)

    @property
    def _chat_id(self) -> int | str:
        chat_id = self._settings.chat_id
        return int(chat_id) if chat_id.lstrip("-").isdecimal() else chat_id


class Outage:
    """What operators are told of a database that is away, by one host, for nothing can be agreed on meanwhile."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self._alarms: tuple[Alarm, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the database is away."""
        return bool(self._alarms)

    async def go_on(self, trouble: StoreUnavailable) -> None:
        """Note that the database is away, and tell if that is due."""
        now = datetime.now(UTC)
        found = Finding(Alert.DATABASE_DOWN, "", str(trouble))
        self._alarms = await self._messenger.tell(noted(self._alarms, [found], now), now)

    async def end(self, store: Store) -> None:
        """Note that the database is back: whoever has the watch reads there what is resolved."""
        if any(alarm.told_at for alarm in self._alarms):
            await store.watch.keep([], self._alarms)
        self._alarms = ()


async def wait_and_tell(settings: HostSettings, alert: AlertSettings, notify: Notify) -> None:
    """Wait for the database for as long as it takes, and tell operators of it."""
    async with TelegramSession(settings.telegram_url) as session:
        outage = Outage(Messenger(alert, session))
        while True:
            try:
                await wait_until_ready(settings.database_url, START_SECONDS, seldom(notify))
                break
            except StoreUnavailable as trouble:
                await outage.go_on(trouble)
    if outage.is_known:
        with suppress(StoreError):  # away again, or its schema is an older one: the start will say so
            async with await Store.open(settings.database_url, max_connections=1) as store:
                await outage.end(store)


class Watcher:
    """Reports what this host's bots do, and tells operators of the fleet while it has the watch."""

    def __init__(self, bots: Sequence[Bot], services: Services, messenger: Messenger, disk: Path) -> None:
        self._bots = bots
        self._store = services.store
        self._locks = services.locks
        self._messenger = messenger
        self._stop = asyncio.Event()
        self._eye = Eye(disk)
        self._reported: list[Entry] | None = None
        self._report_until = 0.0
        self._forget_at = 0.0
        self._has_watch = False
        self._refused: set[str] = set()
        self._outage = Outage(messenger)

    def stop(self) -> None:
        """End ``run`` after the look under way."""
        self._stop.set()

    async def run(self) -> None:
        """Look again and again until ``stop``; nothing that goes wrong here ends it."""
        while not self._stop.is_set():
            await self.look()
            await pause(self._messenger.pace.tick, self._stop)

    async def look(self) -> None:
        """Report what this host's bots do, and look at all if this host has the watch."""
        try:
            self._has_watch = await self._locks.watch()
            await self._report()
            await self._outage.end(self._store)
            if self._has_watch:
                await self._look_at_all()
            else:
                self._count_refused([])
        except StoreUnavailable as trouble:
            if self._has_watch or self._outage.is_known:
                await self._outage.go_on(trouble)
        except Exception:
            log.exception("the watch over the fleet failed, trying again")

    async def end(self, *, is_wanted: bool) -> None:
        """Say that this host ends as it should; if it ends otherwise, say what it is that ended it."""
        if is_wanted:
            with suppress(StoreUnavailable):
                await self._store.watch.leave(self._store.host)
        else:
            await self.look()
        self._count_refused([])

    async def _report(self) -> None:
        """Write down how the bots do, if that has changed or not been written for a while."""
        now = asyncio.get_running_loop().time()
        entries = self._entries()
        if entries != self._reported or now >= self._report_until:
            await self._store.watch.report(self._store.host, entries, is_first=self._reported is None)
            self._reported, self._report_until = entries, now + REPORT_SECONDS

    def _entries(self) -> list[Entry]:
        signs = self._eye.look(self._bots)
        return [
            Entry(bot.settings.name, bot.botname, bot.state is State.STOPPED, troubles(seen))
            for bot, seen in zip(self._bots, signs, strict=True)
        ]

    async def _look_at_all(self) -> None:
        situation = await self._store.watch.situation()
        found = findings(situation)
        self._count_refused(found)
        after = noted(situation.alarms, found, situation.now)
        after = await self._messenger.tell(after, situation.now)
        await self._store.watch.keep(situation.alarms, after)
        now = asyncio.get_running_loop().time()
        if now >= self._forget_at:
            await self._store.watch.forget(Alert.BOT_DOWN)
            self._forget_at = now + FORGET_SECONDS

    def _count_refused(self, found: Sequence[Finding]) -> None:
        """Tell Prometheus which tokens are refused: it sees little of a host that ends for want of any other."""
        refused = {finding.subject for finding in found if finding.alert is Alert.TOKEN_REVOKED}
        for bot in self._refused - refused:
            TOKENS_REFUSED.remove(bot)
        for bot in refused - self._refused:
            TOKENS_REFUSED.labels(bot).set(1)
        self._refused = refused
