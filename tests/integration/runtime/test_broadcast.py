"""Broadcasts by running bots: everybody once, answers first, and what happens when something fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import psycopg

from app.runtime.broadcast import AT_ONCE
from app.store.broadcast import Audience, Kind, Progress, Segment
from app.store.store import Store
from tests.stage import Stage, play, said

NEWS = "News for everybody"
COURSE = """
    A: {type: message, text: one, button: On}
    B: {type: message, text: two, button: On}
    C: {type: message, text: three, button: On}
    D: {type: end, text: bye}
"""

KNOWN = "INSERT INTO chat (botname, chat_id, state) SELECT 'bot', unnest(%s::bigint[]), '{}'"

PAUSE_AT_20 = """
    CREATE FUNCTION pause_at_20() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE broadcast SET state = 'paused' WHERE broadcast_id = NEW.broadcast_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER pause_at_20 AFTER UPDATE ON broadcast_target
        FOR EACH ROW WHEN (NEW.chat_id = 20 AND NEW.state = 'queued') EXECUTE FUNCTION pause_at_20();
"""

# What is committed, in the order in which it is: turns of a bot come one after the other.
LOG_COMMITS = """
    CREATE TABLE committed (position bigserial, chat_id bigint, text text, is_broadcast boolean);
    CREATE FUNCTION log_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO committed (chat_id, text, is_broadcast)
        VALUES (NEW.chat_id, NEW.params ->> 'text', NEW.broadcast_id IS NOT NULL);
        RETURN NULL;
    END $$;
    CREATE TRIGGER log_commit AFTER INSERT ON outbox
        FOR EACH ROW WHEN (NEW.method = 'sendMessage') EXECUTE FUNCTION log_commit();
"""


async def meet(stage: Stage, chat_ids: Iterable[int]) -> None:
    """Let these people have talked with the bot, long ago."""
    chats = list(chat_ids)
    for chat_id in chats:
        await stage.learner(learner_id=chat_id).send("hello")
    url = f"{stage.sandbox_url}/bot{stage.bot().token}/deleteWebhook"
    async with aiohttp.ClientSession() as session, session.post(url, json={"drop_pending_updates": True}) as response:
        assert response.status == 200
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        connection.execute(KNOWN, (chats,))


async def announce(store: Store, chat_ids: Iterable[int] | None = None, **params: object) -> int:
    segment = Segment() if chat_ids is None else Segment(Kind.LISTED, chat_ids=tuple(chat_ids))
    return await store.broadcasts.create("bot", "test", segment, "sendMessage", {"text": NEWS, **params})


async def until_done(store: Store, broadcast_id: int, state: str = "done", seconds: float = 60.0) -> Progress:
    async with asyncio.timeout(seconds):
        while True:
            (now,) = await store.broadcasts.progress(broadcast_id)
            if now.state == state and now.queued == 0:
                return now
            await asyncio.sleep(0.05)


def outcome(now: Progress) -> tuple[int, int, int, int]:
    return now.pending, now.sent, now.blocked, now.failed


async def received(stage: Stage) -> Counter[int]:
    calls = await stage.client.calls(stage.bot().token, "sendMessage")
    return Counter(int(call["params"]["chat_id"]) for call in calls if call["params"]["text"] == NEWS)


async def until_received(stage: Stage, count: int) -> None:
    bot = stage.bot().token
    async with asyncio.timeout(60):
        while len(await received(stage)) < count:
            state = await stage.client.wait_bot(bot, lambda _: True)
            await stage.client.wait_bot(bot, lambda new, old=state: new["version"] > old["version"])  # type: ignore[misc]


async def test_everybody_gets_it_once(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 31))
    stage.start()
    now = await until_done(store, await announce(store, parse_mode="HTML"))
    assert outcome(now) == (0, 30, 0, 0)
    assert now.is_served
    assert now.ended_at is not None
    assert await received(stage) == Counter(range(1, 31))
    assert stage.query("SELECT * FROM outbox") == []


async def test_it_waits_for_a_host_and_for_its_predecessor(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 11))
    first = await announce(store)
    second = await announce(store, text="more")
    (waiting,) = await store.broadcasts.progress(second)
    assert (waiting.is_served, outcome(waiting)) == (False, (10, 0, 0, 0))
    stage.start()
    await until_done(store, second)
    (earlier,) = await store.broadcasts.progress(first)
    assert outcome(earlier) == (0, 10, 0, 0)
    texts = [call["params"]["text"] for call in await stage.client.calls(stage.bot().token, "sendMessage")]
    assert texts == [NEWS] * 10 + ["more"] * 10


async def test_who_has_blocked_the_bot_or_is_unknown_to_telegram_is_counted(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 11))
    await stage.learner(learner_id=3).block()
    await stage.learner(learner_id=4).block()
    stage.query("UPDATE chat SET is_blocked = true WHERE chat_id = 4")
    stage.start()
    now = await until_done(store, await announce(store, [*range(1, 11), 999]))
    assert outcome(now) == (0, 8, 2, 1)
    assert await received(stage) == Counter({1, 2, *range(5, 11)})
    assert stage.query("SELECT chat_id FROM chat WHERE is_blocked ORDER BY 1") == [(3,), (4,)]
    assert stage.query("SELECT chat_id, error FROM outbox") == [(999, "Bad Request: chat not found")]
    assert await store.broadcasts.audience("bot", Segment()) == Audience(10, 2)


async def test_it_is_paused_resumed_and_cancelled(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 41))
    stage.query(PAUSE_AT_20)
    stage.start()
    number = await announce(store)
    now = await until_done(store, number, "paused")
    assert 20 <= now.sent < 20 + AT_ONCE
    learner = stage.learner(learner_id=77)
    await learner.send("/start")
    await play(learner, said("bye"))  # the bot goes on, the broadcast does not
    (later,) = await store.broadcasts.progress(number)
    assert outcome(later) == outcome(now)
    stage.query("DROP TRIGGER pause_at_20 ON broadcast_target")
    assert await store.broadcasts.change(number, "running", ["paused"])
    assert outcome(await until_done(store, number)) == (0, 40, 0, 0)
    assert await received(stage) == Counter(range(1, 41))


async def test_a_flood_wait_is_obeyed(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 21))
    await stage.client.add_fault("429", method="sendMessage", chat_id=5, times=2, retry_after=1)
    await stage.client.add_fault("500", method="sendMessage", times=3)
    stage.start()
    assert outcome(await until_done(store, await announce(store))) == (0, 20, 0, 0)
    assert await received(stage) == Counter(range(1, 21))


async def test_a_photo_is_loaded_by_telegram_once(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 21))
    stage.start()
    params = {"kind": "photo", "media": ["https://example.org/a.png"], "caption": "<b>Look</b>", "parse_mode": "HTML"}
    number = await store.broadcasts.create("bot", "all", Segment(), "sendMedia", params)
    assert outcome(await until_done(store, number)) == (0, 20, 0, 0)
    calls = [call["params"] for call in await stage.client.calls(stage.bot().token, "sendPhoto")]
    assert sorted(int(call["chat_id"]) for call in calls) == list(range(1, 21))
    assert {call["caption"] for call in calls} == {"<b>Look</b>"}
    assert sum(call["photo"] == "https://example.org/a.png" for call in calls) <= 2 * AT_ONCE


async def test_the_command_line_waits_for_the_end(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    await meet(stage, range(1, 11))
    stage.start()
    stage.write("news.txt", NEWS)
    command = ("-m", "app.cli.main", "broadcast", "bot", "news.txt", "--wait")
    environment = {**os.environ, "DATABASE_URL": stage.database_url, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=stage.scripts, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert printed.decode() == "broadcast 1: done, 10 of 10 sent\n"
    assert await received(stage) == Counter(range(1, 11))


async def test_a_bot_that_is_killed_goes_on_where_it_was(stage: Stage, store: Store) -> None:
    stage.course(COURSE)
    learners = range(1, 101)
    await meet(stage, learners)
    number = await announce(store)
    # Its limits make it last some seconds.
    process = await stage.spawn(TELEGRAM_LIMITS="true")
    await stage.client.wait_bot(stage.bot().token, lambda _: True)
    await until_received(stage, 10)
    process.kill()
    await process.wait()
    (killed,) = await store.broadcasts.progress(number)
    assert killed.pending > 0
    await stage.spawn()
    assert outcome(await until_done(store, number)) == (0, 100, 0, 0)
    copies = await received(stage)
    assert set(copies) == set(learners)
    # What was in the outbox may have been sent already: the one window of duplicates.
    assert sum(copies.values()) <= 100 + AT_ONCE
    assert max(copies.values()) <= 2


async def test_answers_come_first(stage: Stage, store: Store) -> None:
    """Learners play while 300 chats get a broadcast at the full speed that Telegram allows.

    Shown by the order of calls: what is committed after an answer is not sent before it, apart from the few calls that
    are under way at the same moment.
    """
    stage.has_limits = True
    stage.course(COURSE)
    chats = range(1, 301)
    await meet(stage, chats)
    await stage.client.set_strict()
    stage.query(LOG_COMMITS)
    stage.start()
    learners = [stage.learner(learner_id=number) for number in (100, 1001, 1002, 1003)]
    number = await announce(store, chats)
    await until_received(stage, 30)

    async def learn(index: int) -> None:
        await learners[index].send("/start")
        await play(learners[index], said("bye"))

    await asyncio.gather(*map(learn, range(len(learners))))
    (meanwhile,) = await store.broadcasts.progress(number)
    assert meanwhile.state == "running"
    assert outcome(await until_done(store, number)) == (0, 300, 0, 0)

    committed = stage.query("SELECT chat_id, text, is_broadcast FROM committed ORDER BY position")
    calls = await stage.client.calls(stage.bot().token, "sendMessage")
    sent = {(int(call["params"]["chat_id"]), call["params"]["text"]): place for place, call in enumerate(calls)}
    answers = [place for place, (_, _, is_broadcast) in enumerate(committed) if not is_broadcast]
    assert len(answers) == 16
    for place in answers:
        chat_id, text, _ = committed[place]
        called = sent[int(str(chat_id)), str(text)]
        overtaking = [row for row in committed[place:] if row[2] and sent[int(str(row[0])), NEWS] < called]
        before = [row for row in committed[:place] if row[2] and sent[int(str(row[0])), NEWS] > called]
        assert len(overtaking) <= 5, (chat_id, text)
        assert len(before) <= 5, (chat_id, text)
    assert await stage.client.refused() == 0
