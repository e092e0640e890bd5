"""What a bot does beside receiving updates: turns, one at a time; timers, jobs, broadcasts while its process leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar

from app.observe.logs import get_log
from app.observe.metrics import Meter
from app.runtime.broadcast import Broadcasts, announce
from app.runtime.decision import Rules, Unused
from app.runtime.jobs import Jobs, Worker
from app.runtime.outbox import Outbox
from app.runtime.settler import when_available
from app.runtime.timers import Timers
from app.runtime.turn import Feed, Result, apply, deliver, feed, post
from app.store.broadcast import Target
from app.store.errors import StoreError, StoreUnavailable
from app.store.lock import BotLocks, Channel
from app.store.rows import NewMessage, Timer
from app.store.store import Store
from app.telegram.decode import Update

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long a webhook request waits for the turn under way, which waits for the database."""

HEAR_AGAIN_SECONDS = 1.0
"""How long after the database refused to tell what others have committed it is asked again."""

log = get_log(__name__)

Turn = Callable[[Store, Rules, Sequence[T]], Awaitable[Result]]
"""Applies a batch of a bot's events in one transaction."""


class Shift:
    """Commits turns and passes on what follows. ``rules`` are asked for before each, as courses change.

    ``take_unused`` gets the updates that no course uses, once each, after their commit.
    """

    def __init__(
        self,
        rules: Callable[[], Rules],
        store: Store,
        outbox: Outbox,
        worker: Worker,
        stop: asyncio.Event,
        take_unused: Callable[[Unused], None],
        meter: Meter,
    ) -> None:
        self._rules = rules
        self._store = store
        self._outbox = outbox
        self._bot_stops = stop
        self._take_unused = take_unused
        self._meter = meter
        self._turns = asyncio.Lock()
        self._is_uncertain = False
        botname = rules().botname
        self._timers = Timers(botname, store, self._deliver, stop)
        self._jobs = Jobs(botname, store, worker, self.feed, stop, meter)
        self._broadcasts = Broadcasts(botname, store, self._announce, outbox.spare, stop)
        outbox.on_broadcast = self._broadcasts.wake

    async def apply(self, updates: Sequence[Update]) -> None:
        """Apply updates; returns when their effects are committed."""
        self._count(updates)
        result, _ = await self._turn(apply, updates, _since(updates))
        self._time(updates, result)

    async def accept(self, updates: Sequence[Update]) -> None:
        """Apply updates as ``apply`` does, but raise ``StoreUnavailable`` soon: they will be sent again."""
        self._count(updates)
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailable("an earlier turn still waits for the database; try again") from None
        try:
            begun = monotonic()
            result = await apply(self._store, self._rules(), updates)
            self._meter.turn_seconds.observe(monotonic() - begun)
            is_uncertain = await self._queue(result, _since(updates))
        except StoreUnavailable:
            self._is_uncertain = True
            raise
        finally:
            self._turns.release()
        self._time(updates, result)
        self._pass_on(result, is_uncertain=is_uncertain)

    async def feed(self, one: Feed) -> bool:
        """Apply an event that no update brings; tell whether what it uses up was still there.

        Raises what the turn raises, and ``StoreUnavailable`` only once the bot is to stop.
        """
        result, attempts = await self._turn(feed, [one])
        return result.seen == 0 or attempts > 1

    async def post(self, messages: Sequence[NewMessage], notices: Sequence[tuple[str, str]] = ()) -> None:
        """Send what no course sends, messages in order with those of courses; returns when they are committed."""
        if messages:
            await self._turn(post, messages)
        for callback_id, text in notices:
            self._outbox.notify(callback_id, text)

    def stop(self, *, is_lost: bool = False) -> None:
        """Begin nothing more; ``is_lost`` when another host may go on with the bot already."""
        self._timers.stop()
        self._broadcasts.stop()
        self._jobs.stop(is_lost=is_lost)

    async def take_over(self) -> None:
        """Send what hosts that are gone left behind."""
        async with self._turns:
            await self._outbox.take_over()

    @asynccontextmanager
    async def hearing(self, locks: BotLocks) -> AsyncIterator[None]:
        """Go on with what this host had to send, and meanwhile send what other hosts commit for its chats."""
        told = asyncio.Event()
        locks.on_notify(Channel.OUTBOX, self._rules().botname, told.set)
        async with self._turns:
            await self._outbox.resume()
        task = asyncio.create_task(self._hear(told))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _hear(self, told: asyncio.Event) -> None:
        while await told.wait():
            told.clear()
            try:
                async with self._turns:
                    await self._outbox.catch_up()
            except StoreError:  # as while somebody replaces the tables by those of a backup
                log.exception("cannot read what others have committed, trying again", seconds=HEAR_AGAIN_SECONDS)
                await asyncio.sleep(HEAR_AGAIN_SECONDS)
                told.set()

    @asynccontextmanager
    async def working(self, locks: BotLocks, failed: Callable[[], None]) -> AsyncIterator[None]:
        """Deliver timers, do jobs and send broadcasts meanwhile.

        A defect of them calls ``failed`` and is raised at the end.
        """
        botname = self._rules().botname
        locks.on_notify(Channel.TIMER, botname, self._timers.wake)
        locks.on_notify(Channel.JOB, botname, self._jobs.wake)
        locks.on_notify(Channel.BROADCAST, botname, self._broadcasts.wake)
        works = (self._timers.run(), self._jobs.run(), self._broadcasts.run())
        running = [asyncio.create_task(work) for work in works]
        for task in running:
            task.add_done_callback(lambda _: failed())
        try:
            yield
        finally:
            self.stop()
            for outcome in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _deliver(self, timers: Sequence[Timer]) -> None:
        result, _ = await self._turn(deliver, timers)
        self._meter.timers_delivered.inc(len(timers) - result.seen - result.postponed)
        self._meter.timers_postponed.inc(result.postponed)

    async def _announce(self, targets: Sequence[Target]) -> None:
        await self._turn(announce, targets)

    async def _turn(
        self, turn: Turn[T], batch: Sequence[T], since: Mapping[int | None, float] | None = None
    ) -> tuple[Result, int]:
        """Commit a turn, one at a time, so that messages are queued as they were committed; count the attempts."""
        rules, attempts = self._rules(), 0

        async def attempt() -> Result:
            nonlocal attempts
            attempts += 1
            begun = monotonic()
            result = await turn(self._store, rules, batch)
            self._meter.turn_seconds.observe(monotonic() - begun)
            return result

        async with self._turns:
            result = await when_available(attempt, self._bot_stops)
            self._is_uncertain = self._is_uncertain or attempts > 1
            is_uncertain = await self._queue(result, since or {})
        self._pass_on(result, is_uncertain=is_uncertain)
        return result, attempts

    async def _queue(self, result: Result, since: Mapping[int | None, float]) -> bool:
        """Queue the messages; tell whether there may be more than the result knows of.

        A failed attempt, or another host, may have committed without our hearing of it.
        """
        is_uncertain, self._is_uncertain = self._is_uncertain, False
        await self._outbox.receive(result.messages, result.backlog, since)
        if is_uncertain or result.seen:
            await self._outbox.catch_up()
        return is_uncertain

    def _pass_on(self, result: Result, *, is_uncertain: bool) -> None:
        for callback_id, text in result.notices:
            self._outbox.notify(callback_id, text)
        if result.has_timers or is_uncertain:
            self._timers.wake()
        if result.has_jobs or is_uncertain:
            self._jobs.wake()
        self._jobs.cancel(result.jobs_cancelled)
        for one in result.unused:
            self._take_unused(one)

    def _count(self, updates: Sequence[Update]) -> None:
        for update in updates:
            self._meter.received(update.kind)

    def _time(self, updates: Sequence[Update], result: Result) -> None:
        """Count what became of updates, and how long it took."""
        meter, now = self._meter, monotonic()
        meter.committed.inc(result.committed)
        if result.seen:
            meter.seen.inc(result.seen)
        if result.dead:
            meter.dead.inc(result.dead)
            meter.dead_updates.inc(result.dead)
        for update in updates:
            meter.commit_seconds.observe(now - update.received_at)


def _since(updates: Sequence[Update]) -> dict[int | None, float]:
    """Return when the newest update of each chat came in."""
    return {update.chat_id: update.received_at for update in updates}
