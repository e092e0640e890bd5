"""The jobs of a bot: defects, cancelled work, leases; the worker is one of the test, the store is real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from app.engine.event import Learner, ReplyFailed, ReplyReceived, Trouble
from app.runtime import jobs
from app.runtime.jobs import Jobs
from app.runtime.turn import Feed
from app.store.rows import Job, NewJob
from app.store.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Apprentice:
    """A worker that does what the test says, and remembers what it was asked for."""

    def __init__(self, do: Callable[[Job], Awaitable[None]]) -> None:
        self._do = do
        self.began: asyncio.Queue[Job] = asyncio.Queue()
        self.dropped_jobs: asyncio.Queue[Job] = asyncio.Queue()

    async def work(self, job: Job) -> Feed:
        self.began.put_nowait(job)
        await self._do(job)
        return Feed(ReplyReceived(Learner(job.chat_id), NOW, job.run_id, job.step, "done"), job_id=job.job_id)

    def failed(self, job: Job) -> Feed:
        event = ReplyFailed(Learner(job.chat_id), NOW, job.run_id, job.step, Trouble.MODEL)
        return Feed(event, job_id=job.job_id)

    async def dropped(self, job: Job, result: Feed | None) -> None:
        self.dropped_jobs.put_nowait(job)


class Workshop:
    """The jobs of a bot under test, and what came of them."""

    def __init__(self, store: Store, do: Callable[[Job], Awaitable[None]]) -> None:
        self.worker = Apprentice(do)
        self.results: asyncio.Queue[Feed] = asyncio.Queue()
        self.jobs = Jobs("bot", store, self.worker, self._deliver, asyncio.Event())
        self._store = store

    async def _deliver(self, result: Feed) -> bool:
        async with self._store.turn("bot") as turn:
            await turn.load([], [result.chat_id])
            is_taken = result.job_id is not None and await turn.claim_job(result.job_id)
            await turn.save()
        self.results.put_nowait(result)
        return is_taken

    @asynccontextmanager
    async def open(self) -> Any:
        running = asyncio.create_task(self.jobs.run())
        yield
        self.jobs.stop()
        await running


async def add(store: Store, *chat_ids: int) -> None:
    async with store.turn("bot") as turn:
        await turn.load([], sorted(set(chat_ids)))
        await turn.save(jobs_started=[NewJob(chat_id, chat_id, 1, "reply", {}) for chat_id in chat_ids])


async def get(queue: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(20):
        return await queue.get()


def columns(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT attempts, claimed_until IS NULL FROM job ORDER BY job_id").fetchall()


async def at_once(_: Job) -> None:
    """Do the job."""


async def test_a_job_with_a_defect_is_given_up_after_three_attempts(store: Store) -> None:
    async def stumble(job: Job) -> None:
        if job.chat_id == 7:
            raise ValueError("a defect")

    await add(store, 7, 8)
    workshop = Workshop(store, stumble)
    async with workshop.open():
        results = [await get(workshop.results) for _ in range(2)]
    assert [(one.chat_id, type(one.event)) for one in results] == [(8, ReplyReceived), (7, ReplyFailed)]
    attempts = [workshop.worker.began.get_nowait() for _ in range(4)]
    assert sorted((job.chat_id, job.attempts) for job in attempts) == [(7, 1), (7, 2), (7, 3), (8, 1)]
    (figures,) = await store.figures(["bot"])
    assert figures.jobs_open == 0


async def test_a_job_that_ends_the_process_again_and_again_is_given_up(store: Store, database_url: str) -> None:
    await add(store, 7)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE job SET attempts = 10")
    workshop = Workshop(store, at_once)
    async with workshop.open():
        assert isinstance((await get(workshop.results)).event, ReplyFailed)
    assert workshop.worker.began.empty()


async def test_the_jobs_of_a_chat_are_done_one_after_the_other(store: Store) -> None:
    may_end = asyncio.Event()
    await add(store, 7, 7, 8)
    workshop = Workshop(store, lambda _: wait(may_end))
    async with workshop.open():
        begun = [await get(workshop.worker.began) for _ in range(2)]
        assert [job.chat_id for job in begun] == [7, 8]
        assert workshop.worker.began.empty()
        may_end.set()
        assert [(await get(workshop.results)).chat_id for _ in range(3)].count(7) == 2


async def wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_cancelled_job_is_broken_off(store: Store, database_url: str) -> None:
    await add(store, 7)
    workshop = Workshop(store, lambda _: wait(asyncio.Event()))
    async with workshop.open():
        job = await get(workshop.worker.began)
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(jobs_cancelled=[7])
        workshop.jobs.cancel([7])
        assert await get(workshop.worker.dropped_jobs) == job
    assert workshop.results.empty()


async def test_a_job_that_another_process_cancelled_is_broken_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "EXTEND_SECONDS", 0.1)
    await add(store, 7)
    workshop = Workshop(store, lambda _: wait(asyncio.Event()))
    async with workshop.open():
        job = await get(workshop.worker.began)
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(jobs_cancelled=[7])
        assert await get(workshop.worker.dropped_jobs) == job


async def test_a_result_that_comes_too_late_is_dropped(store: Store) -> None:
    may_end = asyncio.Event()
    await add(store, 7)
    workshop = Workshop(store, lambda _: wait(may_end))
    async with workshop.open():
        job = await get(workshop.worker.began)
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(jobs_cancelled=[7])
        may_end.set()
        assert await get(workshop.worker.dropped_jobs) == job


async def test_work_under_way_is_left_to_the_next_start(store: Store, database_url: str) -> None:
    await add(store, 7)
    first = Workshop(store, lambda _: wait(asyncio.Event()))
    async with first.open():
        await get(first.worker.began)
        assert columns(database_url) == [(1, False)]
    assert columns(database_url) == [(1, True)]
    second = Workshop(store, at_once)
    async with second.open():
        assert isinstance((await get(second.results)).event, ReplyReceived)


async def test_a_take_over_voids_the_leases_of_the_last_host(store: Store) -> None:
    await add(store, 7)
    (lost,) = await store.claim_jobs("bot", 10, 1000)
    workshop = Workshop(store, at_once)
    async with workshop.open():
        assert await get(workshop.worker.began) == replace(lost, attempts=2)
