"""Whom a broadcast is for, and how far it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.store.broadcast import Audience, Kind, Progress, Segment, Target
from app.store.rows import NewMessage
from app.store.store import Store
from tests.database import query

LEARNERS = """
    INSERT INTO chat (botname, chat_id, is_blocked, state) VALUES
        ('bot', 1, false, '{}'), ('bot', 2, false, '{}'), ('bot', 3, true, '{}'), ('bot', 4, false, '{}'),
        ('bot', 6, false, NULL), ('other', 5, false, '{}');
    INSERT INTO run (run_id, botname, chat_id, course_id, is_ended, date_inserted) VALUES
        (1, 'bot', 1, 'a', true, now() - interval '30 days'), (2, 'bot', 1, 'a', false, now() - interval '20 days'),
        (3, 'bot', 2, 'a', NULL, now() - interval '30 days'), (4, 'bot', 3, 'a', true, now() - interval '30 days'),
        (5, 'bot', 4, 'b', true, now() - interval '2 days'), (6, 'other', 2, 'b', true, now());
    INSERT INTO tag (botname, chat_id, tag) VALUES ('bot', 4, 'vip'), ('bot', 2, 'other'), ('other', 1, 'vip');
    INSERT INTO conversation (run_id, botname, chat_id, role, date_inserted) VALUES
        (3, 'bot', 2, 'user', now() - interval '3 days'), (2, 'bot', 1, 'bot', now());
"""


async def targets(store: Store, limit: int = 100) -> list[int]:
    return [target.chat_id for target in await store.broadcasts.next_targets("bot", limit)]


async def claim(store: Store, broadcast_id: int, chat_ids: list[int], blocked: tuple[int, ...] = ()) -> list[int]:
    """Claim targets and put their messages into the outbox, as the runtime does."""
    async with store.turn("bot") as turn:
        await turn.load([], chat_ids)
        taken = sorted(await turn.claim_targets(broadcast_id, chat_ids, blocked))
        messages = [NewMessage(chat_id, "sendMessage", {}, broadcast_id=broadcast_id) for chat_id in taken]
        return [message.outbox_id for message in await turn.save(messages=messages)]


async def counts(store: Store, broadcast_id: int) -> tuple[str, int, int, int, int, int]:
    (now,) = await store.broadcasts.progress(broadcast_id)
    assert isinstance(now, Progress)
    return now.state, now.pending, now.queued, now.sent, now.blocked, now.failed


@pytest.mark.parametrize(
    ("segment", "expected", "blocked"),
    [
        (Segment(), [1, 2, 4], 1),
        (Segment(course_id="a"), [1, 2], 1),
        (Segment(Kind.FINISHED, "a"), [1], 1),
        (Segment(Kind.UNFINISHED, "a"), [2], 0),
        (Segment(Kind.FINISHED, "b"), [4], 0),
        (Segment(Kind.FINISHED, "b", course_id="a"), [], 0),
        (Segment(Kind.ACTIVE, within=timedelta(days=7)), [2, 4], 0),
        (Segment(Kind.ACTIVE, within=timedelta(hours=12)), [], 0),
        (Segment(Kind.TAG, "vip"), [4], 0),
        (Segment(Kind.TAG, "vip", course_id="a"), [], 0),
        (Segment(Kind.LISTED, chat_ids=(2, 3, 77)), [2, 77], 1),
        (Segment(Kind.LISTED, chat_ids=(2, 3, 77), course_id="a"), [2], 1),
    ],
)
async def test_who_belongs_to_a_segment(
    store: Store, database_url: str, segment: Segment, expected: list[int], blocked: int
) -> None:
    query(database_url, LEARNERS)
    assert await store.broadcasts.audience("bot", segment) == Audience(len(expected) + blocked, blocked)
    number = await store.broadcasts.create("bot", "words", segment, "sendMessage", {"text": "a"})
    assert await targets(store) == expected
    assert await counts(store, number) == ("running" if expected else "done", len(expected), 0, 0, blocked, 0)


async def test_a_target_knows_its_call(store: Store) -> None:
    number = await store.broadcasts.create(
        "bot", "w", Segment(Kind.LISTED, chat_ids=(7,)), "sendMessage", {"text": "a"}
    )
    (target,) = await store.broadcasts.next_targets("bot", 5)
    assert target == Target(number, 7, "sendMessage", {"text": "a"})
    assert target.call() == {"chat_id": 7, "text": "a"}


async def test_from_pending_to_done(store: Store) -> None:
    number = await store.broadcasts.create("bot", "w", Segment(Kind.LISTED, chat_ids=(1, 2, 3, 4)), "sendMessage", {})
    assert await targets(store, 3) == [1, 2, 3]
    first, _, third = await claim(store, number, [1, 2, 3])
    assert await targets(store, 3) == []  # as many as may be are in the outbox
    assert await targets(store, 4) == [4]
    await store.settle("bot", [first])
    await store.mark_failed("bot", third, "no")
    assert await targets(store, 3) == [4]
    assert await counts(store, number) == ("running", 1, 1, 1, 0, 1)
    await claim(store, number, [4], blocked=(4,))
    assert await counts(store, number) == ("running", 0, 1, 1, 1, 1)
    assert await store.broadcasts.is_open("bot")
    assert await store.block_chat("bot", 2, 1000) == 1
    assert await counts(store, number) == ("running", 0, 0, 1, 2, 1)
    assert await targets(store) == []
    assert await counts(store, number) == ("done", 0, 0, 1, 2, 1)
    assert not await store.broadcasts.is_open("bot")


async def test_nobody_is_claimed_twice(store: Store) -> None:
    number = await store.broadcasts.create("bot", "w", Segment(Kind.LISTED, chat_ids=(1, 2)), "sendMessage", {})
    assert len(await claim(store, number, [1])) == 1
    assert len(await claim(store, number, [1, 2])) == 1
    assert len(await store.pending("bot")) == 2


async def test_a_claim_that_is_not_saved_is_none(store: Store) -> None:
    number = await store.broadcasts.create("bot", "w", Segment(Kind.LISTED, chat_ids=(1,)), "sendMessage", {})
    async with store.turn("bot") as turn:
        await turn.load([], [1])
        assert await turn.claim_targets(number, [1], []) == {1}
    assert await targets(store) == [1]


async def test_paused_and_cancelled_ones_have_no_targets(store: Store) -> None:
    change = store.broadcasts.change
    number = await store.broadcasts.create("bot", "w", Segment(Kind.LISTED, chat_ids=(1, 2)), "sendMessage", {})
    (sent,) = await claim(store, number, [1])
    assert await change(number, "paused", ["running"])
    assert await targets(store) == []
    assert await claim(store, number, [2]) == []
    assert await store.broadcasts.is_open("bot")  # one message is on its way
    await store.settle("bot", [sent])
    assert await targets(store) == []
    assert await counts(store, number) == ("paused", 1, 0, 1, 0, 0)
    assert not await change(number, "paused", ["running"])
    assert await change(number, "running", ["paused"])
    assert await targets(store) == [2]
    assert await change(number, "cancelled", ["running", "paused"])
    assert await targets(store) == []
    assert not await change(number, "running", ["paused"])
    (now,) = await store.broadcasts.progress(number)
    assert (now.state, now.ended_at is not None, now.is_served) == ("cancelled", True, False)


async def test_broadcasts_of_a_bot_come_one_after_the_other(store: Store) -> None:
    everybody = Segment(Kind.LISTED, chat_ids=(1, 2))
    first = await store.broadcasts.create("bot", "first", everybody, "sendMessage", {})
    second = await store.broadcasts.create("bot", "second", everybody, "sendMessage", {})
    await store.broadcasts.create("other", "third", everybody, "sendMessage", {})
    assert {target.broadcast_id for target in await store.broadcasts.next_targets("bot", 9)} == {first}
    await store.broadcasts.change(first, "paused", ["running"])
    assert {target.broadcast_id for target in await store.broadcasts.next_targets("bot", 9)} == {second}
    assert [one.audience for one in await store.broadcasts.progress(botname="bot")] == ["second", "first"]
    assert len(await store.broadcasts.progress()) == 3
