"""The outbox, polls, media files and dead updates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from app.engine.event import PollRef
from app.store.rows import NO_BACKLOG, DeadUpdate, MediaFile, NewMessage, OutboxMessage, SentPoll
from app.store.store import Store
from tests.database import query


@pytest.fixture
async def outbox(store: Store) -> list[OutboxMessage]:
    """Five messages: of chat 7, 8, 7, 8, 7."""
    async with store.turn("bot") as turn:
        await turn.load([1], [7, 8])
        return await turn.save(messages=[NewMessage(7 + n % 2, "sendMessage", {"text": str(n)}) for n in range(5)])


async def test_sent_messages_leave_the_outbox(store: Store, outbox: list[OutboxMessage]) -> None:
    await store.settle("bot", [outbox[0].outbox_id, outbox[3].outbox_id])

    assert await store.pending("bot") == [outbox[1], outbox[2], outbox[4]]


async def test_settling_twice_changes_nothing(store: Store, outbox: list[OutboxMessage]) -> None:
    poll, file = SentPoll("p", 7, 1, 2, 3), MediaFile("https://e.org/a.png", "photo", "F1")
    for _ in range(2):
        await store.settle("bot", [outbox[0].outbox_id], [poll], [file])

    assert await store.pending("bot") == outbox[1:]


async def test_a_failed_message_is_kept_but_not_sent_again(
    store: Store, outbox: list[OutboxMessage], database_url: str
) -> None:
    await store.mark_failed("bot", outbox[0].outbox_id, "Bad Request: \0 \ud800")

    assert await store.pending("bot") == outbox[1:]
    assert query(database_url, "SELECT error FROM outbox WHERE failed_at IS NOT NULL") == [("Bad Request: \ufffd ?",)]


async def test_a_message_in_parts_shrinks_and_keeps_its_place(store: Store, outbox: list[OutboxMessage]) -> None:
    await store.replace_params("bot", outbox[1].outbox_id, {"urls": ["b"]})

    assert await store.pending("bot") == [outbox[0], replace(outbox[1], params={"urls": ["b"]}), *outbox[2:]]


async def test_a_blocked_chat_loses_its_queue_and_no_other(store: Store, outbox: list[OutboxMessage]) -> None:
    assert await store.block_chat("bot", 7, 1000) == 3

    assert await store.pending("bot") == [outbox[1], outbox[3]]
    async with store.turn("bot") as turn:
        chats = (await turn.load([], [7, 8])).chats
    assert {chat_id: chat.is_blocked for chat_id, chat in chats.items()} == {7: True, 8: False}


async def test_the_newest_id_of_a_file_counts(store: Store) -> None:
    old, new = MediaFile("https://e.org/a", "photo", "F1"), MediaFile("https://e.org/a", "document", "F2")
    other = MediaFile("https://e.org/b", "audio", "F3")
    await store.settle("bot", [], files=[old])
    await store.settle("bot", [], files=[new, other, other])
    await store.settle("else", [], files=[old])

    assert await store.media_files("bot", [old.url, other.url, "https://e.org/c"]) == {old.url: new, other.url: other}
    assert await store.media_files("bot", []) == {}


async def test_a_link_of_any_length_does_no_harm(store: Store) -> None:
    long = MediaFile("https://e.org/" + "".join(chr(0x400 + n % 200) for n in range(5000)), "photo", "F1")
    short = MediaFile("https://e.org/a", "photo", "F2")
    await store.settle("bot", [], files=[long, short])

    assert await store.media_files("bot", [long.url, short.url]) == {short.url: short}


async def test_a_dead_update_is_buried_with_an_apology(store: Store, database_url: str) -> None:
    dead = DeadUpdate(11, 7, {"update_id": 11, "message": {"text": "привет"}}, "Traceback ...")
    messages, backlog = await store.bury("bot", dead, NewMessage(7, "sendMessage", {"text": "sorry"}))

    assert messages == [OutboxMessage(1, 7, "sendMessage", {"text": "sorry"})]
    assert backlog == NO_BACKLOG
    assert await store.pending("bot") == messages
    statement = "SELECT botname, update_id, chat_id, raw, error FROM dead_update"
    assert query(database_url, statement) == [("bot", 11, 7, dead.raw, dead.error)]
    async with store.turn("bot") as turn:
        assert (await turn.load([11], [7])).fresh == frozenset()


async def test_what_an_update_died_of_does_not_kill_its_burial(store: Store, database_url: str) -> None:
    raw = {"text": "a\0b \ud83d", "path": "c:\\u0000"}
    assert await store.bury("bot", DeadUpdate(11, None, raw, "\0 \udc00")) == ([], NO_BACKLOG)

    buried = {"text": "a\ufffdb ?", "path": "c:\\ufffd"}
    assert query(database_url, "SELECT chat_id, raw, error FROM dead_update") == [(None, buried, "\ufffd ?")]


async def test_purge_forgets_old_updates_and_superseded_polls(store: Store, database_url: str) -> None:
    async with store.turn("bot") as turn:
        await turn.load([1, 2], [7])
        await turn.save()
    polls = [SentPoll("first", 7, 1, 1, 10), SentPoll("newest", 7, 1, 2, 20), SentPoll("only", 7, 2, 1, 30)]
    await store.settle("bot", [], polls=polls)
    await store.settle("else", [], polls=polls)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE seen_update SET seen_at = seen_at - interval '3 days' WHERE update_id = 1")
        connection.execute("UPDATE poll SET created_at = created_at - interval '3 days'")

    await store.purge("bot", timedelta(days=2))

    async with store.turn("bot") as turn:
        loaded = await turn.load([1, 2], [], ["first", "newest", "only"])
    assert loaded.fresh == {1}
    assert loaded.polls == {"newest": PollRef(1, 2, 20), "only": PollRef(2, 1, 30)}
    assert query(database_url, "SELECT count(*) FROM poll WHERE botname = 'else'") == [(3,)]


OVER = """
    INSERT INTO waiting_element (botname, chat_id, run_id, is_waiting, due_at)
        VALUES ('bot', 1, 1, false, now() - interval '91 days'), ('bot', 2, 1, false, now() - interval '89 days'),
            ('bot', 3, 1, true, now() - interval '91 days'), ('other', 4, 1, false, now() - interval '91 days');
    INSERT INTO waiting_element (botname, chat_id, is_waiting, waiting_till_date)
        VALUES ('bot', 5, false, '2020-01-01');
    INSERT INTO outbox (botname, chat_id, method, params, failed_at, created_at)
        VALUES ('bot', 1, 'm', '{}', now() - interval '31 days', now()),
            ('bot', 2, 'm', '{}', now() - interval '29 days', now()),
            ('bot', 3, 'm', '{}', NULL, now() - interval '99 days'),
            ('other', 4, 'm', '{}', now() - interval '31 days', now());
    INSERT INTO dead_update (botname, update_id, raw, error, died_at)
        VALUES ('bot', 1, '{}', 'e', now() - interval '31 days'), ('bot', 2, '{}', 'e', now() - interval '29 days'),
            ('other', 4, '{}', 'e', now() - interval '31 days');
"""


async def test_purge_forgets_what_is_over_after_months(store: Store, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(OVER)
    await store.purge("bot")

    assert query(database_url, "SELECT chat_id FROM waiting_element ORDER BY 1") == [(2,), (3,), (4,), (5,)]
    assert query(database_url, "SELECT chat_id FROM outbox ORDER BY 1") == [(2,), (3,), (4,)]
    assert query(database_url, "SELECT update_id FROM dead_update ORDER BY 1") == [(2,), (4,)]
