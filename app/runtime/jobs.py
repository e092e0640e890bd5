"""Does the slow work of one bot: each job once, a few at the same time, and again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from typing import Protocol

from app.observe.logs import get_log
from app.observe.metrics import Meter, meter_of
from app.observe.work import Work, work_on
from app.pause import pause
from app.runtime.settler import when_available
from app.runtime.turn import Feed
from app.store.errors import StoreError, StoreUnavailable
from app.store.rows import Job
from app.store.store import Store

AT_ONCE = 20
"""Most jobs of one bot under way at once; of a chat it is one."""

LEASE_SECONDS = 30.0
"""How long a job belongs to the worker that claimed it; extended while it is at work."""

EXTEND_SECONDS = 10.0

LONGEST_SLEEP = 60.0
"""Seconds until the next look at the latest."""

MOST_ATTEMPTS = 3
"""A job that has failed by a defect so often is given up."""

MOST_CLAIMS = 10
"""A job that was claimed so often without an end is what ends the processes."""

MOMENT = 2.0
"""Seconds that work under way has to end when the bot stops."""

log = get_log(__name__)

Deliver = Callable[[Feed], Awaitable[bool]]
"""Commits the result of a job; tells whether the job was still to be done."""


class Worker(Protocol):
    """What does the jobs."""

    async def work(self, job: Job) -> Feed:
        """Do the job and return its result, which ends it."""

    def failed(self, job: Job) -> Feed:
        """Return the result of a job that cannot be done."""

    async def dropped(self, job: Job, result: Feed | None) -> None:
        """Clear away what the learner sees of a job that nobody waits for any more; ``None``: it was broken off."""


@dataclass(slots=True)
class _Work:
    """A job under way; ``is_ending`` while its result is committed, when it must not be broken off any more."""

    job: Job
    task: asyncio.Task[None] = field(init=False)
    is_ending: bool = False
    is_cancelled: bool = False


class Jobs:
    """Claims the bot's jobs, has them done by ``worker`` and hands the results to ``deliver``."""

    def __init__(
        self,
        botname: str,
        store: Store,
        worker: Worker,
        deliver: Deliver,
        stop: asyncio.Event,
        meter: Meter | None = None,
    ) -> None:
        self._botname = botname
        self._meter = meter or meter_of(botname)
        self._store = store
        self._worker = worker
        self._deliver = deliver
        self._bot_stops = stop
        self._changed = asyncio.Event()
        self._is_stopped = self._is_lost = False
        self._working: dict[int, _Work] = {}

    def wake(self) -> None:
        """Look again now: some process has written a job, or one is done."""
        self._changed.set()

    def stop(self, *, is_lost: bool = False) -> None:
        """End ``run``; what is under way is left to the next start, or the next host if the bot ``is_lost`` to one."""
        self._is_stopped = True
        self._is_lost = self._is_lost or is_lost
        self.wake()

    def cancel(self, run_ids: Container[int]) -> None:
        """Break off the work of these runs: a turn has cancelled their jobs."""
        for work in list(self._working.values()):
            if work.job.run_id in run_ids:
                self._cancel(work)

    async def run(self) -> None:
        """Do jobs until stopped.

        While PostgreSQL is away they wait; once the bot stops, ``StoreUnavailable`` is raised instead.
        """
        extending = asyncio.create_task(self._extend())
        try:
            # This process holds the bot's lock: no lease of another one counts any more.
            await when_available(lambda: self._store.release_jobs(self._botname), self._bot_stops)
            while not self._is_stopped:
                self._changed.clear()
                await self._begin_some()
                await pause(LONGEST_SLEEP, self._changed)
        finally:
            extending.cancel()
            await self._leave()

    async def _begin_some(self) -> None:
        free = AT_ONCE - len(self._working)
        if free <= 0:
            return
        claimed = await when_available(
            lambda: self._store.claim_jobs(self._botname, free, LEASE_SECONDS), self._bot_stops
        )
        for job in claimed:
            if job.job_id not in self._working:  # else its lease ended while PostgreSQL was away
                self._begin(_Work(job))

    def _begin(self, work: _Work) -> None:
        work.task = asyncio.create_task(self._do(work))
        self._working[work.job.job_id] = work
        work.task.add_done_callback(lambda _: self._end(work))

    def _end(self, work: _Work) -> None:
        del self._working[work.job.job_id]
        self.wake()

    async def _do(self, work: _Work) -> None:
        job = work.job
        work_on(Work(self._botname, job.chat_id, run=job.run_id, job=job.job_id))
        try:
            outcome = await self._done(work)
        except asyncio.CancelledError:
            if not work.is_cancelled:
                raise
            await self._worker.dropped(job, None)
            outcome = "dropped"
        except StoreUnavailable:  # the bot stops
            return
        except Exception:
            log.exception("job failed", bot=self._botname, job=job.job_id, kind=job.kind, attempt=job.attempts)
            outcome = await self._fail(work)
        self._meter.ended(job.kind, outcome)

    async def _done(self, work: _Work) -> str:
        """Do the job and commit its result; return what became of it."""
        job = work.job
        result = self._worker.failed(job) if job.attempts > MOST_CLAIMS else await self._worker.work(job)
        work.is_ending = True
        if await self._deliver(result):
            return "done"
        await self._worker.dropped(job, result)
        return "dropped"

    async def _fail(self, work: _Work) -> str:
        """Give a job up that has failed too often, or put it off; nothing here raises."""
        job, seconds = work.job, float(work.job.attempts)
        if job.attempts >= MOST_ATTEMPTS:
            work.is_ending = True
            try:
                await self._deliver(self._worker.failed(job))
            except Exception:
                log.exception("job cannot be given up", bot=self._botname, job=job.job_id, chat=job.chat_id)
                seconds = LEASE_SECONDS
            else:
                return "given up"
        with contextlib.suppress(StoreUnavailable):
            await self._store.extend_jobs(self._botname, [job.job_id], seconds)
        # A little after the lease ends, by the database's clock.
        asyncio.get_running_loop().call_later(seconds + 0.1, self.wake)
        return "postponed"

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            works = list(self._working.values())
            try:
                left = await self._store.extend_jobs(self._botname, [work.job.job_id for work in works], LEASE_SECONDS)
            except StoreError as trouble:
                log.warning("leases are not extended", bot=self._botname, reason=str(trouble))
                continue
            for work in works:
                if work.job.job_id not in left and not work.task.done():
                    self._cancel(work)

    def _cancel(self, work: _Work) -> None:
        if not work.is_ending and not work.is_cancelled:
            work.is_cancelled = True
            work.task.cancel()

    async def _leave(self) -> None:
        """Break off what is under way, except for results that are being committed."""
        works = list(self._working.values())
        for work in works:
            if not work.is_ending:
                work.task.cancel()
        if works:
            _, late = await asyncio.wait([work.task for work in works], timeout=MOMENT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if not self._is_lost:
            with contextlib.suppress(StoreUnavailable):
                await self._store.release_jobs(self._botname)
