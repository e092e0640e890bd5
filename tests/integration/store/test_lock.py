"""One poller per bot: who has the lock, and what happens when its connection dies."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest

from app.store import lock
from app.store.errors import StoreUnavailable
from app.store.lock import BotLocks, Channel


@pytest.fixture
async def first(database_url: str) -> AsyncIterator[BotLocks]:
    locks = BotLocks(database_url, uuid4().hex)
    yield locks
    await locks.close()


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[BotLocks]:
    locks = BotLocks(database_url, uuid4().hex)
    yield locks
    await locks.close()


def terminate_holder(database_url: str) -> None:
    holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
    with psycopg.connect(database_url) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({holders}) AS holder")  # type: ignore[arg-type]


async def test_a_bot_is_polled_by_one_host(first: BotLocks, second: BotLocks) -> None:
    assert await first.acquire("one")
    assert not await second.acquire("one")
    assert await second.acquire("two")
    assert (first.held, second.held) == ({"one"}, {"two"})


async def test_a_second_taker_in_the_same_process_is_refused(first: BotLocks, second: BotLocks) -> None:
    assert await first.acquire("one")
    assert not await first.acquire("one")
    await first.release("one")

    assert await second.acquire("one")


async def test_a_lock_given_back_is_free_for_others(first: BotLocks, second: BotLocks) -> None:
    await first.acquire("one")
    await first.acquire("two")
    await first.release("one")
    await first.release("never had")

    assert await second.acquire("one")
    assert not await second.acquire("two")


async def test_closing_gives_all_locks_back(first: BotLocks, second: BotLocks) -> None:
    await first.acquire("one")
    await first.close()

    assert first.held == frozenset()
    assert await second.acquire("one")


async def test_another_host_takes_over_when_the_holder_is_cut_off(
    first: BotLocks, second: BotLocks, database_url: str
) -> None:
    await first.acquire("one")
    death = await first.live("one")
    terminate_holder(database_url)

    assert await second.acquire("one")
    await death.wait()
    assert first.held == frozenset()
    assert not await first.acquire("one")


async def test_the_next_acquire_connects_anew(first: BotLocks, database_url: str) -> None:
    await first.acquire("one")
    death = await first.live("one")
    terminate_holder(database_url)
    with pytest.raises(StoreUnavailable):
        await first.acquire("two")

    assert death.is_set()
    assert not await first.acquire("two", death)
    assert await first.acquire("two", await first.live("one"))
    assert first.held == {"two"}


async def test_locks_of_a_database_that_is_away() -> None:
    with pytest.raises(StoreUnavailable, match=r"^database 'fleet' at '127\.0\.0\.1' \(user 'bot'\) is unavailable: "):
        await BotLocks("postgresql://bot:sekret@127.0.0.1:1/fleet", "host").acquire("one")


ANNOUNCED = [
    pytest.param(
        Channel.JOB, "INSERT INTO job (botname, chat_id, run_id, step, kind) VALUES ('bot', 7, 1, 2, 'reply')"
    ),
    pytest.param(Channel.COURSE, "INSERT INTO course (bot_name, course_id) VALUES ('bot', 'summer')"),
    pytest.param(Channel.COURSE, "INSERT INTO course_element (bot_name, course_id) VALUES ('bot', 'summer')"),
    pytest.param(Channel.COURSE, "UPDATE course SET bot_name = 'bot', yaml = '' WHERE bot_name = 'third'"),
    pytest.param(Channel.COURSE, "UPDATE course SET bot_name = 'third' WHERE bot_name = 'bot'"),
    pytest.param(Channel.COURSE, "DELETE FROM course WHERE bot_name = 'bot'"),
]


@pytest.mark.parametrize(("channel", "statement"), ANNOUNCED)
async def test_the_host_hears_what_others_write(
    first: BotLocks, database_url: str, channel: Channel, statement: str
) -> None:
    courses = "INSERT INTO course (bot_name, course_id) VALUES ('bot', 'spring'), ('third', 'autumn')"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(courses)
        heard: list[tuple[str, str]] = []
        rung = asyncio.Event()
        await first.acquire("bot")
        for name in ("bot", "other"):
            for each in Channel:
                first.on_notify(each, name, lambda place=(each, name): heard.append(place))  # type: ignore[misc]
        first.on_notify(Channel.JOB, "last", rung.set)
        connection.execute(statement)  # type: ignore[call-overload]
        connection.execute("SELECT pg_notify('flotilla_job', 'last')")
    await asyncio.wait_for(rung.wait(), 20)

    assert heard == [(channel, "bot")]


async def test_who_has_no_descriptor_left_lets_others_lead(
    first: BotLocks, second: BotLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not tell whether its connection still lives."""
    monkeypatch.setattr(lock, "PING_INTERVAL", 0.01)
    death = await first.live("one")
    assert death is not None
    assert await first.acquire("one")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        async with asyncio.timeout(10):
            await death.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert first.held == frozenset()
    async with asyncio.timeout(10):
        while not await second.acquire("one"):  # noqa: ASYNC110 - the server sees that it is closed when it can
            await asyncio.sleep(0.01)
