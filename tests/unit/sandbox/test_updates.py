"""The queue of updates, and waiting for changes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.sandbox.changes import Changes
from app.sandbox.errors import ApiError
from app.sandbox.updates import UpdateQueue

FIRST_UPDATE_ID = 100_000_001


@pytest.fixture
def queue() -> UpdateQueue:
    return UpdateQueue(Changes(), FIRST_UPDATE_ID)


async def test_waiting_ends_with_the_change_or_the_time() -> None:
    changes = Changes()
    waiting = asyncio.create_task(changes.until(lambda: changes.version == 2, 30))
    await asyncio.sleep(0)
    changes.mark()
    changes.mark()
    assert await waiting is True
    assert await changes.until(lambda: changes.version == 3, 0) is False


@pytest.mark.parametrize(
    ("allowed", "kind", "wanted"),
    [
        ((), "message", True),
        ((), "my_chat_member", True),
        ((), "chat_member", False),
        ((), "message_reaction", False),
        (["chat_member"], "chat_member", True),
        (["chat_member"], "message", False),
    ],
)
def test_which_updates_a_bot_gets(queue: UpdateQueue, allowed: list[str], kind: str, wanted: bool) -> None:
    queue.allowed = allowed
    queue.push(kind, {})
    assert list(queue.pending) == ([{"update_id": FIRST_UPDATE_ID, kind: {}}] if wanted else [])


def test_an_update_is_a_copy(queue: UpdateQueue) -> None:
    message = {"text": "then"}
    queue.push("message", message)
    message["text"] = "now"
    assert queue.pending[0]["message"] == {"text": "then"}


async def test_repeated_updates_come_once_and_before_others(queue: UpdateQueue) -> None:
    first = [queue.inject({"message": number}) for number in range(3)]
    queue.confirm(first[-1])
    assert queue.repeat(2) == 2
    last = queue.inject({"message": 3})
    batches = [await queue.fetch(0, limit, 0) for limit in (1, 2, 2)]
    assert [[update["update_id"] for update in batch] for batch in batches] == [[first[1]], [first[2], last], [last]]


async def test_a_closed_queue_answers_nobody(queue: UpdateQueue) -> None:
    waiting = asyncio.create_task(queue.fetch(0, 100, 30))
    await asyncio.sleep(0)
    queue.close()
    assert await waiting == []


async def test_the_older_request_ends(queue: UpdateQueue) -> None:
    older = asyncio.create_task(queue.fetch(0, 100, 30))
    await asyncio.sleep(0)
    newer = asyncio.create_task(queue.fetch(0, 100, 30))
    with pytest.raises(ApiError, match="terminated by other getUpdates request"):
        await older
    queue.push("message", {})
    assert len(await newer) == 1


class Queue(RuleBasedStateMachine):
    """A queue beside a list that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = UpdateQueue(Changes(), FIRST_UPDATE_ID)
        self.pushed = 0
        self.expected: list[int] = []

    @rule()
    def push(self) -> None:
        self.queue.push("message", {})
        self.expected.append(FIRST_UPDATE_ID + self.pushed)
        self.pushed += 1

    @rule(back=st.integers(-3, 6), limit=st.integers(1, 4))
    def fetch(self, back: int, limit: int) -> None:
        offset = FIRST_UPDATE_ID + self.pushed - back
        got = asyncio.run(self.queue.fetch(offset, limit, 0))
        self.expected = [one for one in self.expected if one >= offset]
        assert [update["update_id"] for update in got] == self.expected[:limit]

    @rule(last=st.integers(1, 4))
    def fetch_last(self, last: int) -> None:
        got = asyncio.run(self.queue.fetch(-last, 100, 0))
        self.expected = self.expected[-last:]
        assert [update["update_id"] for update in got] == self.expected

    @invariant()
    def nothing_unconfirmed_is_lost(self) -> None:
        assert [update["update_id"] for update in self.queue.pending] == self.expected


TestQueue = Queue.TestCase
