"""Jobs in the store: started, claimed by one worker for a while, taken out once, cancelled; and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import psycopg
import pytest

from app.store.errors import DataRefused
from app.store.rows import ChatState, Job, NewJob, NewTimer, Usage
from app.store.store import Store
from tests.database import query

REPLY = NewJob(7, 1, 3, "reply", {})
OTHER = NewJob(8, 2, 5, "hear", {"file_id": "F1"})
FIRST, SECOND = Job(1, 7, 1, 3, "reply", {}, 1), Job(2, 8, 2, 5, "hear", {"file_id": "F1"}, 1)


def end_leases(database_url: str) -> None:
    """What time does."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE job SET claimed_until = now() WHERE claimed_until IS NOT NULL")


async def start(store: Store, *jobs: NewJob, cancelled: Sequence[int] = (), botname: str = "bot") -> None:
    async with store.turn(botname) as turn:
        await turn.load([], [7, 8])
        await turn.save(jobs_started=jobs, jobs_cancelled=cancelled)


async def take(store: Store, job_id: int, botname: str = "bot") -> bool:
    async with store.turn(botname) as turn:
        await turn.load([], [7, 8])
        is_taken = await turn.claim_job(job_id)
        await turn.save()
        return is_taken


async def jobs_open(store: Store, botname: str) -> int:
    (figures,) = await store.figures([botname])
    return figures.jobs_open


async def test_jobs_are_claimed_oldest_first(store: Store) -> None:
    await start(store, REPLY, OTHER)

    assert await store.claim_jobs("bot", 1, 60) == [FIRST]
    assert await store.claim_jobs("bot", 10, 60) == [SECOND]
    assert await store.claim_jobs("bot", 10, 60) == []
    assert await jobs_open(store, "bot") == 2


async def test_a_chat_has_one_job_at_a_time(store: Store) -> None:
    await start(store, REPLY, replace(REPLY, step=4), OTHER)

    assert [job.job_id for job in await store.claim_jobs("bot", 10, 60)] == [1, 3]
    assert await store.claim_jobs("bot", 10, 60) == []
    assert await take(store, 1)
    assert await store.claim_jobs("bot", 10, 60) == [Job(2, 7, 1, 4, "reply", {}, 1)]


async def test_workers_that_claim_at_once_share_the_jobs(store: Store) -> None:
    await start(store, *(NewJob(chat_id, chat_id, 1, "reply", {}) for chat_id in range(40)))
    claims = await asyncio.gather(*(store.claim_jobs("bot", 7, 60) for _ in range(12)))

    assert sorted(job.job_id for claim in claims for job in claim) == list(range(1, 41))
    assert {job.attempts for claim in claims for job in claim} == {1}
    assert all(claim == sorted(claim, key=lambda job: job.job_id) for claim in claims)


async def test_a_worker_does_not_wait_for_a_job_that_another_has_in_hand(store: Store, database_url: str) -> None:
    await start(store, REPLY, OTHER)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        assert await store.claim_jobs("bot", 10, 60) == [SECOND]


async def test_a_lease_that_ran_out_leaves_the_job_to_others(store: Store, database_url: str) -> None:
    await start(store, REPLY)
    await store.claim_jobs("bot", 10, 60)
    end_leases(database_url)

    assert await store.claim_jobs("bot", 10, 60) == [replace(FIRST, attempts=2)]


async def test_a_lease_is_extended_while_the_work_goes_on(store: Store, database_url: str) -> None:
    await start(store, REPLY, OTHER)
    await store.claim_jobs("bot", 10, 60)
    end_leases(database_url)

    assert await store.extend_jobs("bot", [1, 99], 60) == {1}
    assert await store.claim_jobs("bot", 10, 60) == [replace(SECOND, attempts=2)]


async def test_who_takes_a_bot_over_goes_on_with_its_jobs(store: Store) -> None:
    await start(store, REPLY, OTHER)
    await store.claim_jobs("bot", 10, 600)
    await store.set_job_message("bot", 1, 501)
    await store.release_jobs("bot")

    assert await store.claim_jobs("bot", 10, 60) == [
        replace(FIRST, attempts=2, message_id=501),
        replace(SECOND, attempts=2),
    ]


async def test_a_result_counts_once(store: Store) -> None:
    await start(store, REPLY)
    results = await asyncio.gather(*(take(store, 1) for _ in range(4)))

    assert sorted(results) == [False, False, False, True]
    assert await jobs_open(store, "bot") == 0


async def test_a_result_that_is_not_committed_counts_for_nothing(store: Store) -> None:
    await start(store, REPLY)
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        assert await turn.claim_job(1)

    assert await store.claim_jobs("bot", 10, 60) == [FIRST]


async def test_a_job_is_started_with_its_turn_or_not_at_all(store: Store, database_url: str) -> None:
    with pytest.raises(DataRefused):
        await start(store, REPLY, replace(OTHER, params={"text": "\0"}))

    assert query(database_url, "SELECT count(*) FROM job") == [(0,)]


async def test_the_jobs_of_a_run_are_cancelled_and_their_results_dropped(store: Store) -> None:
    await start(store, REPLY, OTHER)
    await store.claim_jobs("bot", 10, 60)
    await start(store, replace(REPLY, step=9), cancelled=[1])

    assert not await take(store, 1)
    assert await store.extend_jobs("bot", [1, 2], 60) == {2}
    assert await store.claim_jobs("bot", 10, 60) == [Job(3, 7, 1, 9, "reply", {}, 1)]


async def test_d1_jobs_of_another_bot_are_left_alone(store: Store) -> None:
    await start(store, REPLY)
    await start(store, botname="other", cancelled=[1])
    await store.claim_jobs("bot", 10, 60)
    await store.set_job_message("other", 1, 501)
    await store.release_jobs("other")

    assert await store.claim_jobs("bot", 10, 60) == []
    assert await store.claim_jobs("other", 10, 60) == []
    assert await store.extend_jobs("other", [1], 0) == frozenset()
    assert await jobs_open(store, "other") == 0
    assert not await take(store, 1, "other")
    await store.release_jobs("bot")
    assert await store.claim_jobs("bot", 10, 60) == [replace(FIRST, attempts=2)]


async def test_usage_adds_up_per_run_and_day(store: Store, database_url: str) -> None:
    spent = [Usage(7, "spring", 1, 100, 20), Usage(8, "summer", 2, 7, 1), Usage(7, "spring", 1, 200, 30)]
    for _ in range(2):
        async with store.turn("bot") as turn:
            await turn.load([], [7, 8])
            await turn.save(usage=spent)

    columns = "botname, run_id, chat_id, course_id, replies, input_tokens, output_tokens"
    today = "abs(extract(epoch FROM now() - day::timestamp AT TIME ZONE 'UTC')) < 2 * 86400"
    assert query(database_url, f"SELECT {columns}, {today} FROM token_usage ORDER BY run_id") == [
        ("bot", 1, 7, "spring", 4, 600, 100, True),
        ("bot", 2, 8, "summer", 2, 14, 2, True),
    ]


async def test_a_learner_s_language_is_kept_until_another_is_known(store: Store) -> None:
    for language_code in ("ru", None, "en"):
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(
                chats=[ChatState(7, "ann", {}, language_code=language_code)],
                timers_started=[NewTimer(7, 1, "default", None, 60)],
            )
        found = await store.chat("bot", 7)
        assert found is not None
        assert found.language_code == (language_code or "ru")
    async with store.turn("bot") as turn:
        assert (await turn.load([], [7])).chats == {7: found}
    assert await store.chat("other", 7) is None
