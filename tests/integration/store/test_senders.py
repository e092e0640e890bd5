"""Who sends a chat's messages: one living host at a time, so that they come in order whichever host commits them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from app.store.lock import BotLocks, Channel
from app.store.rows import NO_BACKLOG, Backlog, DeadUpdate, NewMessage, OutboxMessage
from app.store.store import Store


def text(number: int, chat_id: int = 7) -> NewMessage:
    return NewMessage(chat_id, "sendMessage", {"text": str(number)}, run_id=1, step=number)


@asynccontextmanager
async def host(database_url: str) -> AsyncIterator[tuple[Store, BotLocks]]:
    """A host that is alive."""
    async with await Store.open(database_url) as store:
        locks = BotLocks(database_url, store.host)
        await locks.live("bot")
        yield store, locks
        await locks.close()


@pytest.fixture
async def first(database_url: str) -> AsyncIterator[tuple[Store, BotLocks]]:
    async with host(database_url) as first:
        yield first


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[tuple[Store, BotLocks]]:
    async with host(database_url) as second:
        yield second


Hosts = tuple[Store, BotLocks]


async def kill(locks: BotLocks) -> None:
    """Let a host be dead for the others; its backend needs a moment to leave."""
    await locks.close()
    async with await psycopg.AsyncConnection.connect(**locks._parameters) as connection:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('flotilla host:' || %s, 0))", (locks.host,)
        )


async def commit(store: Store, *messages: NewMessage, botname: str = "bot") -> tuple[list[OutboxMessage], Backlog]:
    async with store.turn(botname) as turn:
        await turn.load([], sorted({message.chat_id for message in messages}))
        return await turn.save(messages=messages), turn.backlog


def numbers(messages: list[OutboxMessage]) -> list[int]:
    return [int(message.params["text"]) for message in messages]


async def test_what_one_host_has_not_sent_keeps_the_chat_with_it(first: Hosts, second: Hosts) -> None:
    mine, _ = await commit(first[0], text(1))
    theirs, backlog = await commit(second[0], text(2), text(3, chat_id=8))

    assert (numbers(mine), numbers(theirs), backlog) == ([1], [3], NO_BACKLOG)
    assert numbers(await first[0].pending("bot")) == [1, 2]
    assert numbers(await second[0].pending("bot")) == [3]


async def test_a_chat_goes_to_the_next_host_once_all_is_sent(first: Hosts, second: Hosts) -> None:
    (mine,), _ = await commit(first[0], text(1))
    await first[0].settle("bot", [mine.outbox_id])

    assert await commit(second[0], text(2)) == ([OutboxMessage(2, 7, "sendMessage", {"text": "2"}, 1, 2)], NO_BACKLOG)
    assert await first[0].pending("bot") == []
    assert numbers((await commit(first[0], text(3)))[0]) == []


async def test_a_host_knows_what_others_have_still_to_send(first: Hosts, second: Hosts) -> None:
    (mine,), _ = await commit(first[0], text(1))
    assert [await store.is_foreign("bot", 7) for store, _ in (first, second)] == [False, True]
    await first[0].settle("bot", [mine.outbox_id])
    assert not await second[0].is_foreign("bot", 7)


async def test_a_message_that_is_given_up_holds_no_chat(first: Hosts, second: Hosts) -> None:
    (mine,), _ = await commit(first[0], text(1))
    await first[0].mark_failed("bot", mine.outbox_id, "Bad Request")

    assert numbers((await commit(second[0], text(2)))[0]) == [2]


async def test_the_sender_learns_of_what_others_commit(first: Hosts, second: Hosts) -> None:
    told = {botname: asyncio.Event() for botname in ("bot", "other")}
    for botname, event in told.items():
        first[1].on_notify(Channel.OUTBOX, botname, event.set)
    await commit(first[0], text(1))
    await commit(second[0], text(2))
    await asyncio.wait_for(told["bot"].wait(), 20)
    assert not told["other"].is_set()


async def test_the_senders_own_turn_knows_of_older_messages(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1), text(1, chat_id=8))
    await commit(second[0], text(2))

    messages, backlog = await commit(first[0], text(3), text(4, chat_id=8))
    assert (numbers(messages), backlog) == ([3, 4], Backlog(unheard=frozenset({7})))
    assert numbers(await first[0].pending("bot", backlog.chat_ids)) == [1, 2, 3]
    assert await commit(first[0], text(5)) == ([OutboxMessage(6, 7, "sendMessage", {"text": "5"}, 1, 5)], NO_BACKLOG)


async def test_a_turn_that_waits_for_a_chat_sees_what_was_committed_meanwhile(first: Hosts, second: Hosts) -> None:
    await commit(second[0], text(0))
    await second[0].settle("bot", [1])
    async with first[0].turn("bot") as turn:
        await turn.load([], [7])
        later = asyncio.create_task(commit(second[0], text(2)))
        await _until_blocked(first[0])
        await turn.save(messages=[text(1)])

    assert await later == ([], NO_BACKLOG)
    assert numbers(await first[0].pending("bot")) == [1, 2]


async def _until_blocked(store: Store) -> None:
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with store._pool.connection() as connection:
        while not await (await connection.execute(query)).fetchall():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_dead_hosts_chat_is_taken_over_by_the_next_turn(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    await kill(first[1])

    messages, backlog = await commit(second[0], text(2))
    assert (numbers(messages), backlog) == ([2], Backlog(taken_over=frozenset({7})))
    assert numbers(await second[0].pending("bot", backlog.chat_ids)) == [1, 2]
    assert await first[0].pending("bot") == []


async def test_a_turn_that_is_not_saved_takes_nothing_over(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    await kill(first[1])
    async with second[0].turn("bot") as turn:
        await turn.load([], [7])

    assert await second[0].pending("bot") == []
    assert numbers(await first[0].pending("bot")) == [1]


async def test_a_leader_takes_over_what_is_stranded(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1), text(2, chat_id=8))
    await commit(first[0], text(3), botname="other")
    await commit(second[0], text(4, chat_id=9))
    assert await second[0].stranded(["bot", "other"]) == []
    assert await second[0].take_over_chats("bot") == frozenset()
    await kill(first[1])

    assert sorted(await second[0].stranded(["bot", "other", "third"])) == ["bot", "other"]
    assert await second[0].take_over_chats("bot") == {7, 8}
    assert numbers(await second[0].pending("bot")) == [1, 2, 4]
    assert await second[0].stranded(["bot", "other"]) == ["other"]


async def test_chats_that_a_turn_holds_are_left_to_it(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1), text(2, chat_id=8))
    await kill(first[1])
    async with second[0].turn("bot") as turn:
        await turn.load([], [7])
        assert await second[0].take_over_chats("bot") == {8}


async def test_a_host_that_lives_again_goes_on_with_its_chats(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    await kill(first[1])
    await first[1].live("other")

    assert await second[0].take_over_chats("bot") == frozenset()
    assert numbers((await commit(second[0], text(2)))[0]) == []


async def test_a_bot_that_ends_leaves_its_chats_to_others(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    await first[0].leave_chats("bot")

    assert await second[0].stranded(["bot"]) == ["bot"]
    assert await second[0].take_over_chats("bot") == {7}


async def test_an_apology_goes_by_the_chats_sender(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    dead = DeadUpdate(5, 7, {}, "broken")

    assert await second[0].bury("bot", dead, text(2)) == ([], NO_BACKLOG)
    assert numbers(await first[0].pending("bot")) == [1, 2]


async def test_a_poll_on_its_way_is_known_to_every_host(first: Hosts, second: Hosts) -> None:
    (poll,), _ = await commit(first[0], text(3))
    async with second[0].turn("bot") as turn:
        await turn.load([], [7])
        assert turn.is_foreign(7)
        assert [await turn.is_outgoing(7, 1, step) for step in (2, 3)] == [False, True]
    await first[0].settle("bot", [poll.outbox_id])
    async with second[0].turn("bot") as turn:
        assert not await turn.is_outgoing(7, 1, 3)


async def test_a_chat_that_writes_while_it_is_found_blocked_is_not(first: Hosts, second: Hosts) -> None:
    await commit(first[0], text(1))
    async with first[0].turn("bot") as turn:
        await turn.load([], [7])
        later = asyncio.create_task(first[0].block_chat("bot", 7, newest=1))
        await _until_blocked(second[0])
        await turn.save(messages=[text(2)])

    assert await later == 1
    chat = await first[0].chat("bot", 7)
    assert chat is not None
    assert not chat.is_blocked
