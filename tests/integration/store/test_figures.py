"""What is counted from the tables, for several bots at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from app.store.rows import BotFigures, ChatState, RunPlace
from app.store.store import Store
from tests.database import query

ROWS = """
    INSERT INTO chat (botname, chat_id, active_at) VALUES
        ('bot', 1, now() - interval '4 minutes'), ('bot', 2, now() - interval '6 minutes'),
        ('bot', 3, now() - interval '23 hours'), ('bot', 4, now() - interval '6 days'),
        ('bot', 5, now() - interval '8 days'), ('bot', 6, NULL), ('other', 1, now());
    INSERT INTO outbox (botname, chat_id, method, params, created_at, failed_at) VALUES
        ('bot', 1, 'sendMessage', '{}', now() - interval '90 seconds', NULL),
        ('bot', 2, 'sendMessage', '{}', now() - interval '10 seconds', NULL),
        ('bot', 3, 'sendMessage', '{}', now() - interval '3 days', now());
    INSERT INTO waiting_element (botname, chat_id, run_id, is_waiting, due_at) VALUES
        ('bot', 1, 1, true, now() - interval '1 minute'), ('bot', 1, 1, true, now() - interval '1 second'),
        ('bot', 1, 1, true, now() + interval '1 day'), ('bot', 1, 1, false, now() - interval '1 day'),
        ('bot', 1, NULL, true, now() - interval '1 day'), ('other', 1, 1, true, now() - interval '1 day');
    INSERT INTO job (botname, chat_id, run_id, step, kind) VALUES ('bot', 1, 1, 1, 'reply'), ('bot', 2, 2, 1, 'reply');
    INSERT INTO dead_update (botname, update_id, raw, error) VALUES ('other', 1, '{}', ''), ('other', 2, '{}', '');
"""

RUNS = """
    INSERT INTO run (run_id, botname, chat_id, course_id, is_ended) VALUES
        (1, 'bot', 1, 'a', true), (2, 'bot', 1, 'a', false), (3, 'bot', 2, 'a', NULL), (4, 'bot', 3, 'a', NULL),
        (5, 'bot', 3, 'b', NULL), (6, 'bot', 4, NULL, NULL), (7, 'other', 1, 'a', NULL), (8, 'third', 1, 'a', NULL);
    INSERT INTO conversation (run_id, botname, element_id, role) VALUES
        (1, 'bot', 'Hello', 'bot'), (1, 'bot', 'Bye', 'bot'),
        (2, 'bot', 'Hello', 'bot'), (3, 'bot', 'Hello', 'bot'), (2, 'bot', 'Quiz', 'bot'), (3, 'bot', 'Quiz', 'bot'),
        (2, 'bot', 'Quiz', 'user'), (7, 'other', 'Hello', 'bot');
"""

NOTHING = BotFigures("", datetime.min.replace(tzinfo=UTC), 0, 0, 0, 0, None, 0, 0, 0)


async def test_figures_of_several_bots(store: Store, database_url: str) -> None:
    query(database_url, ROWS)
    before = datetime.now(UTC)
    found = {figures.botname: figures for figures in await store.figures(["bot", "other", "silent"])}
    at, age = found["bot"].at, found["bot"].outbox_age
    assert before <= at <= datetime.now(UTC)
    assert age is not None
    assert 90 <= age < 120
    assert found == {
        "bot": replace(
            NOTHING,
            botname="bot",
            at=at,
            active_5m=1,
            active_24h=3,
            active_7d=4,
            outbox=2,
            outbox_age=age,
            timers_late=1,
            jobs_open=2,
        ),
        "other": replace(
            NOTHING,
            botname="other",
            at=at,
            active_5m=1,
            active_24h=1,
            active_7d=1,
            timers_late=1,
            dead_updates=2,
        ),
        "silent": replace(NOTHING, botname="silent", at=at),
    }
    assert await store.figures([]) == []


async def test_who_is_active_has_written(store: Store, database_url: str) -> None:
    async def turn(*, has_written: bool) -> None:
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(chats=[ChatState(7, None, {}, has_written=has_written)])

    async def active() -> int:
        (figures,) = await store.figures(["bot"])
        return figures.active_5m

    await turn(has_written=False)
    assert await active() == 0
    await turn(has_written=True)
    assert await active() == 1
    query(database_url, "UPDATE chat SET active_at = now() - interval '1 day'")
    await turn(has_written=False)
    assert await active() == 0
    await turn(has_written=True)
    assert await active() == 1


async def test_activity_is_noted_once_a_minute_at_most(store: Store, database_url: str) -> None:
    async def noted() -> datetime:
        async with store.turn("bot") as turn:
            await turn.load([], [7])
            await turn.save(chats=[ChatState(7, None, {})])
        ((at,),) = query(database_url, "SELECT active_at FROM chat")
        return at

    first = await noted()
    assert await noted() == first
    query(database_url, "UPDATE chat SET active_at = now() - interval '61 seconds'")
    assert await noted() > first


async def test_where_runs_stand(store: Store, database_url: str) -> None:
    query(database_url, RUNS)
    found = await store.run_places(["bot", "other", "silent"])
    assert sorted(found, key=repr) == sorted(
        [
            RunPlace("bot", "a", None, True, 1),
            RunPlace("bot", "a", "Quiz", False, 2),
            RunPlace("bot", "a", None, False, 1),
            RunPlace("bot", "b", None, False, 1),
            RunPlace("other", "a", "Hello", False, 1),
        ],
        key=repr,
    )


async def test_the_database_itself(store: Store, database_url: str) -> None:
    before = await store.database_figures()
    ((size, limit),) = query(
        database_url, "SELECT pg_database_size(current_database()), current_setting('max_connections')::integer"
    )
    assert (before.max_connections, before.connections >= 1) == (limit, True)
    assert abs(before.size - size) < 1_000_000
    assert (await store.database_figures()).at > before.at


async def test_connections_of_the_pool(store: Store) -> None:
    async with store.turn("bot"):
        used, _, waiting = store.connections()
        assert (used, waiting) == (1, 0)
    await asyncio.sleep(0)
    assert store.connections()[0] == 0
