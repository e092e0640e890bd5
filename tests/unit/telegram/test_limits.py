"""When messages are admitted. Time is a number that the test moves, except where a loop has to wake up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telegram.limits import GROUP, MESSAGES, PRIVATE, RESERVE, SECONDS, Limits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(clock)


async def begin(limits: Limits, count: int) -> None:
    for _ in range(count):
        assert await limits.begin()


async def send(limits: Limits, chat_ids: Sequence[int]) -> None:
    for chat_id in chat_ids:
        assert await limits.begin()
        limits.end(chat_id)


async def test_a_burst_in_a_chat_waits_for_nothing(limits: Limits, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        pauses.append(limits.pause(7))
        clock.now += pauses[-1]
        await send(limits, [7])
    assert pauses == [0.0] * PRIVATE.burst + [1.0] * 3


async def test_a_group_gets_twenty_messages_a_minute(limits: Limits, clock: Clock) -> None:
    begun = []
    while clock.now < 400:
        clock.now += limits.pause(-100)
        begun.append(clock.now)
        await send(limits, [-100])
    assert max(sum(first <= time < first + 60 for time in begun) for first in begun) <= 20
    assert begun[5] - begun[4] == GROUP.seconds


async def test_other_chats_do_not_wait_for_a_chat(limits: Limits) -> None:
    await send(limits, [7] * PRIVATE.burst)
    assert (limits.pause(7), limits.pause(8), limits.pause(-7)) == (1.0, 0.0, 0.0)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.floats(0, 3), st.floats(0, 2)),
        min_size=1,
        max_size=60,
    )
)
def test_no_network_makes_a_chat_receive_more_than_its_limit(calls: list[tuple[int, float, float]]) -> None:
    """The server counts each message at the moment that is worst for us: the first late, the others at once."""
    clock = Clock()
    limits = Limits(clock)
    spans: dict[int, list[tuple[float, float]]] = {}

    async def play() -> None:
        for chat_id, idle, length in calls:
            clock.now += idle
            clock.now += limits.pause(chat_id)
            while limits.spare() == 0:
                clock.now += 0.1
            await limits.begin()
            begun = clock.now
            clock.now += length
            limits.end(chat_id)
            spans.setdefault(chat_id, []).append((begun, clock.now))

    asyncio.run(play())
    for chat in spans.values():
        for first in range(len(chat)):
            for last in range(first, len(chat)):
                least = chat[last][0] - chat[first][1]
                assert last - first + 1 <= PRIVATE.burst + max(0.0, least) / PRIVATE.seconds + 1e-6


async def test_as_many_messages_as_telegram_allows_begin_at_once(limits: Limits, clock: Clock) -> None:
    await begin(limits, MESSAGES)
    late = asyncio.ensure_future(limits.begin())
    await asyncio.sleep(0)
    assert (late.done(), limits.spare()) == (False, 0)
    clock.now += 100  # a call that takes long counts as long as it is under way
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()


async def test_a_message_counts_until_a_period_after_its_end() -> None:
    limits, loop = Limits(), asyncio.get_running_loop()
    await begin(limits, MESSAGES)
    limits.end(1)
    ended = loop.time()
    assert await limits.begin()
    assert loop.time() - ended >= SECONDS - 0.002  # the clock of timers has milliseconds


async def test_who_asks_first_is_admitted_first() -> None:
    limits = Limits()
    await begin(limits, MESSAGES)
    order: list[int] = []

    async def one(number: int) -> None:
        await limits.begin()
        order.append(number)

    tasks = [asyncio.ensure_future(one(number)) for number in range(MESSAGES)]
    await asyncio.sleep(0)
    for chat_id in range(MESSAGES):
        limits.end(chat_id)
    await asyncio.gather(*tasks)
    assert order == list(range(MESSAGES))


async def test_broadcasts_leave_room_for_answers(limits: Limits, clock: Clock) -> None:
    await begin(limits, MESSAGES - RESERVE - 2)
    assert limits.spare() == 2
    await begin(limits, 2)
    assert limits.spare() == 0
    await begin(limits, RESERVE)  # answers do not wait
    for chat_id in range(MESSAGES):
        limits.end(chat_id)
    clock.now += SECONDS
    assert limits.spare() == MESSAGES - RESERVE


async def test_nothing_is_spare_while_an_answer_waits(limits: Limits, clock: Clock) -> None:
    await begin(limits, MESSAGES)
    answer = asyncio.ensure_future(limits.begin())
    await asyncio.sleep(0)
    for chat_id in range(MESSAGES):
        limits.end(chat_id)
    clock.now += SECONDS
    assert limits.spare() == 0
    assert await answer
    assert limits.spare() == MESSAGES - RESERVE - 1


async def test_who_is_cancelled_takes_no_place(limits: Limits, clock: Clock) -> None:
    await begin(limits, MESSAGES)
    waiting = [asyncio.ensure_future(limits.begin()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    for chat_id in range(MESSAGES):
        limits.end(chat_id)
    clock.now += SECONDS
    assert await waiting[1]
    assert await waiting[2]
    assert limits.spare() == MESSAGES - RESERVE - 2


async def test_who_is_cancelled_after_being_admitted_gives_its_place_back(limits: Limits, clock: Clock) -> None:
    await begin(limits, MESSAGES)
    waiting = [asyncio.ensure_future(limits.begin()) for _ in range(2)]
    await asyncio.sleep(0)
    clock.now += SECONDS
    limits.end(1)
    clock.now += SECONDS
    limits._admit()  # as the timer does, but before the waiting task runs
    waiting[0].cancel()
    assert await waiting[1]
    assert waiting[0].cancelled()


async def test_the_dismissed_are_told(limits: Limits) -> None:
    await begin(limits, MESSAGES)
    waiting = asyncio.ensure_future(limits.begin())
    await asyncio.sleep(0)
    limits.dismiss()
    assert await waiting is False


async def test_idle_chats_are_forgotten(limits: Limits, clock: Clock) -> None:
    for chat_id in range(1, 20_001):
        clock.now += SECONDS / 20
        await send(limits, [chat_id])
    assert len(limits) <= 1001
