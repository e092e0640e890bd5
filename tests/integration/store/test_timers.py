"""Timers in the store: started, announced, found, claimed once, cancelled, postponed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from app.store.lock import BotLocks, Channel
from app.store.rows import ChatState, NewTimer, Timer
from app.store.store import Store

SOON, LATE = NewTimer(7, 1, "default", "Age", 0), NewTimer(8, 2, "spring", None, 86400)


async def start(store: Store, *timers: NewTimer, botname: str = "bot", cancelled: tuple[int, ...] = ()) -> None:
    async with store.turn(botname) as turn:
        await turn.load([], sorted({timer.chat_id for timer in timers}))
        await turn.save(timers_started=timers, timers_cancelled=cancelled)


async def claim(store: Store, *timer_ids: int, botname: str = "bot") -> frozenset[int]:
    async with store.turn(botname) as turn:
        await turn.load([], [7, 8])
        claimed = await turn.claim_timers(timer_ids)
        await turn.save()
        return claimed


async def next_timers(store: Store, botname: str = "bot") -> list[Timer]:
    """Return the timers with their seconds rounded up to whole minutes."""
    found = await store.next_timers(botname, 100)
    return [Timer(t.timer_id, t.chat_id, t.run_id, t.element_id, -(-t.seconds // 60) * 60) for t in found]


async def test_timers_come_in_the_order_of_their_due_times(store: Store) -> None:
    await start(store, LATE, SOON)
    assert await next_timers(store) == [Timer(2, 7, 1, "Age", 0), Timer(1, 8, 2, None, 86400)]
    assert await store.next_timers("bot", 1) == [Timer(2, 7, 1, "Age", 0)]
    assert await store.next_timers("other", 1) == []


async def test_d38_a_timer_depends_on_no_time_zone(store: Store, database_url: str) -> None:
    await start(store, LATE)
    with psycopg.connect(database_url, options="-c TimeZone=Asia/Tokyo") as connection:
        row = connection.execute(
            "SELECT botname, chat_id, course_id, element_id, run_id, is_waiting, "
            "waiting_till_date AT TIME ZONE 'UTC' = due_at, abs(extract(epoch FROM due_at - now()) - 86400) < 60 "
            "FROM waiting_element"
        ).fetchone()
    assert row == ("bot", 8, "spring", None, 2, True, True, True)


async def test_d38_a_timer_is_claimed_once(store: Store) -> None:
    await start(store, SOON, LATE)
    claims = await asyncio.gather(*(claim(store, 1, 2) for _ in range(4)))
    assert sorted(map(sorted, claims)) == [[], [], [], [1]]
    assert await next_timers(store) == [Timer(2, 8, 2, None, 86400)]


async def test_d38_a_claim_that_is_not_committed_counts_for_nothing(store: Store) -> None:
    await start(store, SOON)
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        assert await turn.claim_timers([1]) == {1}
    assert await claim(store, 1) == {1}


async def test_d1_a_timer_of_another_bot_is_left_alone(store: Store) -> None:
    await start(store, SOON)
    assert await claim(store, 1, botname="other") == frozenset()
    await start(store, botname="other", cancelled=(1,))
    await store.postpone_timer("other", 1, 60)
    assert await next_timers(store) == [Timer(1, 7, 1, "Age", 0)]


async def test_d8_the_timers_of_a_run_are_cancelled(store: Store) -> None:
    await start(store, SOON, LATE)
    await start(store, NewTimer(7, 1, "default", "Name", 60), cancelled=(1,))
    assert await next_timers(store) == [Timer(3, 7, 1, "Name", 60), Timer(2, 8, 2, None, 86400)]
    assert await claim(store, 1) == frozenset()


async def test_d38_a_timer_that_failed_is_tried_again_later(store: Store) -> None:
    await start(store, SOON)
    await store.postpone_timer("bot", 1, 120)
    assert await claim(store, 1) == frozenset()
    assert await next_timers(store) == [Timer(1, 7, 1, "Age", 120)]


async def test_a_wait_of_the_old_program_is_left_alone(store: Store, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO waiting_element (chat_id, waiting_till_date, is_waiting, element_id, course_id, botname) "
            "VALUES (7, '2020-01-01', true, 'Age', 'default', 'bot')"
        )
    assert await next_timers(store) == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO waiting_element (botname, chat_id, run_id, is_waiting, due_at) VALUES ('bot', 7, 1, true, now())",
        "UPDATE waiting_element SET due_at = now()",
    ],
)
async def test_the_host_hears_of_every_timer(store: Store, database_url: str, statement: str) -> None:
    await start(store, LATE)
    locks = BotLocks(database_url, uuid4().hex)
    heard = {"bot": asyncio.Event(), "other": asyncio.Event()}
    try:
        for name, event in heard.items():
            await locks.acquire(name)
            locks.on_notify(Channel.TIMER, name, event.set)
        with psycopg.connect(database_url) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
        await asyncio.wait_for(heard["bot"].wait(), 10)
        assert not heard["other"].is_set()
    finally:
        await locks.close()


async def test_a_run_that_is_reopened(store: Store, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO run (run_id, botname, is_ended) VALUES (1, 'bot', true), (2, 'other', true)")
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        await turn.save(runs_reopened=[1, 2])
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT run_id, is_ended FROM run ORDER BY 1").fetchall() == [(1, False), (2, True)]


async def test_who_is_only_reached_by_a_timer_stays_blocked(store: Store) -> None:
    await start(store, SOON)
    await store.block_chat("bot", 7, 1000)
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        await turn.save(chats=[ChatState(7, "ann", {}, has_written=False)])
    async with store.turn("bot") as turn:
        assert (await turn.load([], [7])).chats[7].is_blocked


def test_days_have_24_hours(database_url: str) -> None:
    """The clocks of Berlin were set forward in the night to 29 March 2026."""
    with psycopg.connect(database_url, options="-c TimeZone=Europe/Berlin") as connection:
        row = connection.execute(
            "SELECT timestamptz '2026-03-28 12:00' + make_interval(secs => 86400) - timestamptz '2026-03-28 12:00'"
        ).fetchone()
    assert row == (timedelta(hours=24),)
