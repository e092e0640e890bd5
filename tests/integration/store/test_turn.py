"""Turns: load, save, order, scoping."""

from app.store.rows import ChatRecord, ChatState, Loaded, NewMessage, OutboxMessage
from app.store.store import Store


async def test_first_turn_of_a_chat(store: Store) -> None:
    async with store.turn("bot") as turn:
        loaded = await turn.load([11, 12], [7], run_ids=2)
        sent = await turn.save(
            chats=[ChatState(7, "ann", {"runs": {}})],
            messages=[NewMessage(7, "sendMessage", {"text": "hi"}), NewMessage(7, "sendPoll", {"q": 1}, 1, 2)],
        )

    assert loaded == Loaded(fresh=frozenset({11, 12}), chats={7: ChatRecord(None, False)}, polls={}, run_ids=(1, 2))
    assert sent == [
        OutboxMessage(1, 7, "sendMessage", {"text": "hi"}),
        OutboxMessage(2, 7, "sendPoll", {"q": 1}, 1, 2),
    ]
    assert await store.pending("bot") == sent
