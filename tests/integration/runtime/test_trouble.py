"""Trouble at bad moments: takeovers in mid turn, a database that is away, floods, polls that are seen twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from aiohttp import web
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.config.settings import BotSettings, HostSettings
from app.runtime.bot import State
from app.runtime.host import Host
from app.sandbox.client import Transcript
from tests.stage import Stage, said, until

HELLO = """
    A: {type: message, text: first}
    B: {type: message, text: second}
    C: {type: message, text: third, button: On}
    D: {type: end, text: bye}
"""
POLLS = """
    Q1: {type: question, text: one, answers: [{text: a}, {text: b}]}
    Q2: {type: quiz, text: two, answers: [{text: a, correct: yes}, {text: b}]}
    E: {type: end, text: bye}
"""
LONG = (
    "\n".join(f"A{number}: {{type: message, text: m{number}}}" for number in range(6)) + "\nZ: {type: input, text: q}"
)
BLOCKED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'transactionid'
"""
LOCK_HOLDER = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""


async def texts(stage: Stage, learner_id: int = 7) -> list[str]:
    chat = await stage.learner(learner_id=learner_id).transcript()
    return [message.poll.question if message.poll else message.text for message in chat.by_bot]


async def has_state(host: Host, state: State) -> None:
    await until(lambda: bool(host.bots) and host.bots[0].state is state)


def polls_shown(count: int) -> Callable[[Transcript], bool]:
    return lambda chat: sum(message.poll is not None for message in chat.by_bot) == count


async def test_a_takeover_in_mid_turn_loses_and_reorders_nothing(stage: Stage) -> None:
    stage.course(HELLO)
    first = stage.start()
    await has_state(first, State.POLLING)
    second = stage.start()
    await has_state(second, State.STANDBY)
    stage.query("INSERT INTO chat (botname, chat_id) VALUES ('bot', 7)")
    learner = stage.learner()
    with psycopg.connect(stage.database_url) as holder:
        holder.execute("SELECT FROM chat WHERE chat_id = 7 FOR UPDATE")  # the turn of /start waits for this
        await learner.send("/start")
        await until(lambda: stage.query(BLOCKED) == [(1,)])
        stage.query(LOCK_HOLDER)
        await has_state(second, State.POLLING)
    await learner.wait_for(said("third"))
    await learner.send("hm?")
    await learner.wait_for(said("buttons above"))
    assert list(dict.fromkeys(await texts(stage)))[:3] == ["first", "second", "third"]
    await until(lambda: stage.query("SELECT count(*) FROM outbox") == [(0,)])


async def test_a_database_that_is_away_for_seconds_doubles_nothing(stage: Stage) -> None:
    stage.course(LONG)
    host = stage.start()
    await has_state(host, State.POLLING)
    learners = [stage.learner(learner_id=number) for number in range(10, 25)]
    await stage.client.add_fault("delay", method="sendMessage", seconds=0.2, times=100_000)
    for learner in learners:
        await learner.send("/start")
    for learner in learners:
        await learner.wait_message()
    name = conninfo_to_dict(stage.database_url)["dbname"]
    with psycopg.connect(make_conninfo(stage.database_url, dbname="postgres"), autocommit=True) as server:
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(str(name))))
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        for learner in learners:
            await learner.send("while it is away")
        await has_state(host, State.STARTING)
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(str(name))))
    expected = [*(f"m{number}" for number in range(6)), "q"]
    for learner in learners:
        await learner.wait_for(said("q"), patience=60)
    await stage.client.wait_idle(stage.bot().token)
    await until(lambda: stage.query("SELECT count(*) FROM outbox") == [(0,)])
    for learner in learners:
        assert (await texts(stage, learner.id)) == expected


async def test_a_vote_in_either_copy_of_a_doubled_poll_counts_once(stage: Stage) -> None:
    stage.course(POLLS)
    stage.start()
    learner = stage.learner()
    await stage.client.add_fault("drop_after", method="sendPoll", times=1)
    await learner.send("/start")
    chat = await learner.wait_for(polls_shown(2))
    first, second = [message for message in chat.by_bot if message.poll]
    await stage.client.add_fault("500", method="sendPoll", times=3)
    await learner.vote(first, 0)
    await stage.client.wait_idle(stage.bot().token)
    await learner.vote(second, 1)
    await stage.client.wait_idle(stage.bot().token)
    await learner.wait_for(polls_shown(3))
    recorded = "SELECT element_id, report FROM conversation WHERE role = 'user' ORDER BY conversation_id"
    assert stage.query(recorded) == [("Q1", "a")]


async def test_a_chat_that_blocks_after_a_refusal_is_marked_and_goes_on_later(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    learner = stage.learner()
    await stage.client.add_fault("400", method="sendMessage", times=1, description="no way")
    await stage.client.add_fault("403", method="sendMessage", times=1)
    await learner.send("/start")
    await until(lambda: stage.query("SELECT is_blocked FROM chat") == [(True,)])
    await learner.send("hello?")
    await learner.wait_for(said("buttons above"))
    assert await texts(stage) == ["Please press one of the buttons above, then we will go on."]
    assert stage.query("SELECT count(*) FROM outbox WHERE failed_at IS NULL") == [(0,)]


async def test_a_flood_of_the_whole_bot_stops_waiting_calls_too(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    learners = [stage.learner(learner_id=number) for number in range(10, 110)]
    await stage.client.add_fault("429", method="sendMessage", times=60, retry_after=1)
    await asyncio.gather(*(learner.send("/start") for learner in learners))
    for learner in learners:
        await learner.wait_for(said("third"), patience=60)
    assert all([await texts(stage, learner.id) == ["first", "second", "third"] for learner in learners])


async def test_the_long_wait_of_one_chat_among_floods_is_its_own(stage: Stage) -> None:
    stage.course(HELLO)
    stage.start()
    waiting, *others = [stage.learner(learner_id=number) for number in range(10, 16)]
    for learner, seconds in ((waiting, 600), (others[0], 3), (others[1], 3)):
        await stage.client.add_fault("429", method="sendMessage", chat_id=learner.id, retry_after=seconds)
    await asyncio.gather(*(learner.send("/start") for learner in (waiting, *others[:2])))
    await until_flooded(stage)
    for learner in others[2:]:
        await learner.send("/start")
    for learner in others:
        await learner.wait_for(said("third"))
    assert await texts(stage, waiting.id) == []


async def until_flooded(stage: Stage) -> None:
    """Wait until all faults have happened."""
    async with asyncio.timeout(20):
        while await stage.client.faults():  # noqa: ASYNC110 - the sandbox announces it to nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("token", ["abc", "123", "123:ab cd"])
async def test_a_malformed_token_leaves_the_other_bots_alone(stage: Stage, token: str) -> None:
    stage.course(HELLO)
    host = stage.start(BotSettings("bad", "bad", token), stage.bot())
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("third"))
    assert [bot.state for bot in host.bots] == [State.REFUSED, State.POLLING]


async def test_two_bots_of_one_name_do_not_share_a_lock(stage: Stage) -> None:
    stage.course(HELLO)
    host = stage.start(stage.bot("a"), BotSettings("b", "a", stage.bot("b").token))
    await until(lambda: bool(host.bots) and {bot.state for bot in host.bots} == {State.POLLING, State.STANDBY})


async def test_a_page_of_a_web_server_in_between_ends_no_bot(stage: Stage) -> None:
    stage.course(HELLO)
    polls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal polls
        method = request.match_info["method"]
        if method == "getMe":
            return web.json_response(
                {"ok": True, "result": {"id": 1, "is_bot": True, "first_name": "x", "username": "x"}}
            )
        if method == "getWebhookInfo":
            info = {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
            return web.json_response({"ok": True, "result": info})
        polls += 1
        if polls == 1:
            return web.Response(status=404, text="<html>nginx</html>", content_type="text/html")
        await asyncio.sleep(0.05)
        return web.json_response({"ok": True, "result": []})

    server = web.AppRunner(web.Application())
    server.app.router.add_route("*", "/bot{token}/{method}", answer)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}"
    host = Host(HostSettings((BotSettings("a", "a", "1:aaa"),), stage.database_url, url, stage.scripts))
    running = asyncio.create_task(host.run())
    await until(lambda: polls > 2)
    assert host.bots[0].state is State.POLLING
    host.stop()
    await running
    await server.cleanup()


async def test_who_cannot_read_what_others_commit_tries_again(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """As while the tables of a backup take the place of those in use."""
    stage.course(HELLO)
    host = stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("third"))
    tell = "SELECT pg_notify('flotilla_outbox', %s)"
    out: list[str] = []

    def is_told() -> bool:
        out.append(capsys.readouterr().out)
        return "cannot read what others have committed" in "".join(out)

    stage.query("ALTER TABLE outbox RENAME TO replaced")
    stage.query(tell, f"{host.status()['host']} bot")
    await until(is_told)
    stage.query("ALTER TABLE replaced RENAME TO outbox")
    params = '{"chat_id": 7, "text": "from afar"}'
    row = "INSERT INTO outbox (botname, chat_id, method, params) VALUES ('bot', 7, 'sendMessage', %s)"
    stage.query(row, params)
    await learner.wait_for(said("from afar"))
