"""A host: one process that runs one or more bots on one database and one Bot API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.config.pace import start_delay
from app.config.settings import BotSettings, HostSettings
from app.errors import FlotillaError
from app.observe.logs import get_log
from app.observe.metrics import serving
from app.runtime.apps import Apps
from app.runtime.bot import Bot, Services
from app.runtime.certificates import look_at_certificates
from app.runtime.crew import Crew, cancelled
from app.runtime.figures import Figures
from app.runtime.gauges import Gauges
from app.runtime.library import Library
from app.runtime.status import FILE_NAME, status_of, write_status
from app.runtime.usage import Usage
from app.runtime.watch import watching
from app.runtime.web import WebServer
from app.runtime.webhook import webhooks
from app.store.errors import StoreUnavailable
from app.store.lock import BotLocks
from app.store.store import Store
from app.telegram.api import TelegramSession

HEARTBEAT_SECONDS = 5.0
"""How often the heartbeat file is touched; a container's health check looks at it without starting a Python."""

WATCH_SECONDS = 1.0
"""How often the course files are looked at, and courses of the database read that are said to have changed."""

STATUS_SECONDS = 5.0
"""How often the status file is written, and the use of CPU measured anew."""

PURGE_SECONDS = 3600.0
"""How often old update ids and polls are deleted."""

PURGE_DELAY = 60.0
"""How long after the start the first time is: by then it is known which bots this host leads."""

FIGURES_SECONDS = 1.0
"""How often it is looked whether figures of the database are to be refreshed."""

CERTIFICATE_SECONDS = 3600.0
"""How often the certificates of webhooks are looked at."""

CERTIFICATE_DELAY = 15.0
"""How long after the start the first time is: by then the proxy may have one."""

TAKE_OVER_SECONDS = 5.0
"""How often it is looked for messages that nobody sends because their host is gone."""

log = get_log(__name__)


class NoBotLeftError(FlotillaError):
    """Every bot of the host has ended by itself."""


class Host:
    """Runs bots until it is stopped; see ``run``. ``crew`` stops and starts single ones meanwhile.

    The next host at the same ``place``, such as a container, leaves those stopped that were stopped here.
    """

    def __init__(self, settings: HostSettings, heartbeat: Path | None = None, place: str | None = None) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._place = place
        self._store: Store | None = None
        self._started_at = datetime.now(UTC)
        self._usage = Usage()
        self._id = ""
        self._figures: Figures
        self.metrics_port: int | None = None
        """Where the metrics are served, if they are."""
        self._stop = asyncio.Event()
        self.crew = Crew()

    @property
    def bots(self) -> Sequence[Bot]:
        """The bots of this host, running or not; none before ``run``."""
        return self.crew.bots

    def status(self) -> dict[str, Any]:
        """Return what the host tells of itself and its bots, as JSON."""
        return status_of(self._id, self._started_at, self.bots, self._usage)

    def stop(self) -> None:
        """End ``run``: stop fetching, finish the turns, send what is committed, release the locks."""
        self._stop.set()

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run all bots until ``stop``; ``ready`` is called once they are started.

        Raises ``NoBotLeftError`` when every bot ended by itself, ``AddressInUseError`` when the pages cannot be served,
        and the store's errors when the database cannot be used at the start; later it is waited for.
        """
        settings = self._settings
        async with _services(settings) as services:
            self._id = services.store.host
            self._figures = Figures(services.store)
            self._store = services.store
            stopped = await self._store.stops.at(self._place) if self._place is not None else ()
            self.crew = Crew([Bot(bot, self._library(bot), services) for bot in settings.bots], stopped)
            async with self._web(services.store), watching(settings, self.bots, services, self._stop):
                with self._metrics(services.store):
                    await self._run_bots(services, ready)
        if not self._stop.is_set():
            raise NoBotLeftError("no bot is left to run; see the errors above")

    async def remember_stop(self, name: str) -> None:
        """Have the next host at this place leave a bot stopped; raises ``UnknownBotError`` and ``StoreUnavailable``."""
        bot = self.crew.bot(name)
        if self._store is not None and self._place is not None:
            await self._store.stops.add(self._place, name, bot.botname)

    async def forget_stop(self, name: str | None = None) -> None:
        """Have the next host at this place start a bot, or all of them; raises ``StoreUnavailable``."""
        if self._store is not None and self._place is not None:
            await self._store.stops.remove(self._place, name)

    async def _run_bots(self, services: Services, ready: Callable[[], None] | None) -> None:
        self.crew.begin(self._delay)
        helpers = [asyncio.create_task(work) for work in self._helpers(services)]
        ends = [asyncio.create_task(end) for end in (self._stop.wait(), self.crew.none_left())]
        if ready is not None:
            ready()
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self.crew.end()
            await cancelled([*helpers, *ends])

    def _web(self, store: Store) -> contextlib.AbstractAsyncContextManager[object]:
        """Return the server of the bots' pages and webhooks, if they have some."""
        if self._settings.listen is None:
            return contextlib.nullcontext()
        apps = Apps(self.bots, store, self._settings.telegram_url)
        return WebServer(self._settings.listen, apps.routes(), webhooks(self.bots))

    @contextlib.contextmanager
    def _metrics(self, store: Store) -> Iterator[None]:
        """Serve the metrics, if they are wanted."""
        listen = self._settings.metrics
        if listen is None:
            yield
            return
        gauges = Gauges(lambda: self.bots, self._figures, store, self._settings.disk)
        with serving(listen, gauges) as self.metrics_port:
            yield
        self.metrics_port = None

    async def tell(self) -> None:
        """Write the status for those who read it beside the heartbeat."""
        if self._heartbeat is not None:
            write_status(self._heartbeat.with_name(FILE_NAME), self.status())

    @property
    def is_healthy(self) -> bool:
        """Whether every bot does what it should."""
        return all(bot.is_healthy for bot in self.bots)

    def _library(self, bot: BotSettings) -> Library:
        library = Library(self._settings.scripts, bot.folder)
        library.report(bot.name)
        return library

    def _delay(self, index: int) -> float:
        return start_delay(index, self._settings.telegram_url)

    def _helpers(self, services: Services) -> list[Coroutine[Any, Any, None]]:
        helpers = [
            _every(FIGURES_SECONDS, lambda: self._figures.refresh(self.bots)),
            _every(CERTIFICATE_SECONDS, lambda: look_at_certificates(self.bots), first=CERTIFICATE_DELAY),
            _every(WATCH_SECONDS, self._read_courses_again),
            _every(PURGE_SECONDS, lambda: self._purge(services.store), first=PURGE_DELAY),
            _every(STATUS_SECONDS, self._mark_usage, first=STATUS_SECONDS),
            _every(TAKE_OVER_SECONDS, lambda: self._take_over(services.store)),
        ]
        if self._heartbeat is not None:
            helpers.append(_every(HEARTBEAT_SECONDS, self._beat))
            helpers.append(_every(STATUS_SECONDS, self.tell))
        return helpers

    async def _read_courses_again(self) -> None:
        for bot in self.bots:
            if bot.botname and bot.library.changed():
                await bot.read_courses()
            bot.plugin.watch()
            await asyncio.sleep(0)  # a thousand bots must not hold up an answer

    async def _mark_usage(self) -> None:
        self._usage.mark()

    async def _purge(self, store: Store) -> None:
        for bot in self.bots:
            if bot.is_leader:
                await store.purge(bot.botname)

    async def _take_over(self, store: Store) -> None:
        await self.crew.leave()
        led = {bot.botname: bot for bot in self.bots if bot.is_leader}
        for botname in await store.stranded(list(led)) if led else ():
            await led[botname].take_over()

    async def _beat(self) -> None:
        if self._heartbeat is not None and self.is_healthy:
            self._heartbeat.touch()


@contextlib.asynccontextmanager
async def _services(settings: HostSettings) -> AsyncIterator[Services]:
    store = await Store.open(settings.database_url)
    try:
        await store.check_schema()
        locks = BotLocks(settings.database_url, store.host)
        try:
            async with TelegramSession(settings.telegram_url) as session:
                yield Services(session, store, locks, settings.is_limited)
        finally:
            await locks.close()
    finally:
        await store.close()


async def _every(seconds: float, work: Callable[[], Awaitable[None]], first: float = 0.0) -> None:
    """Do the work again and again until cancelled; a failure is reported, and the next time may be better."""
    await asyncio.sleep(first)
    while True:
        try:
            await work()
        except StoreUnavailable as trouble:
            log.warning("database unavailable", reason=str(trouble))
        except Exception:
            log.exception("helper failed, trying again", seconds=seconds)
        await asyncio.sleep(seconds)
