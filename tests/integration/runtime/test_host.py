"""Several bots, several hosts: nobody touches anybody else."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import psycopg
import pytest

from app.runtime.bot import State
from app.runtime.host import NoBotLeftError
from app.sandbox.client import Message, Transcript
from tests.stage import Stage, play, said, until

COURSE = """
    A: {type: message, text: hello from %s, button: On}
    B: {type: input, text: type}
    C: {type: end, text: bye from %s}
"""


def course(name: str) -> str:
    return COURSE % (name, name)


async def test_d1_one_person_two_bots_one_database(stage: Stage) -> None:
    stage.course(course("one"), "one/")
    stage.course(course("two"), "two/")
    stage.start(stage.bot("one", "one/"), stage.bot("two", "two/"))
    first, second = stage.learner("one"), stage.learner("two")
    await first.send("/start")
    await first.press(await first.wait_message())
    await first.wait_for(said("type"))
    await second.send("an answer that belongs nowhere")
    await second.wait_for(said("/start"))
    await second.send("/start")
    await second.wait_for(said("hello from two"))
    await first.send("my answer")
    await first.wait_for(said("bye from one"))
    chat = await second.transcript()
    await second.press(chat.by_bot[-1])
    await second.wait_for(said("type"))
    with psycopg.connect(stage.database_url) as connection:
        runs = connection.execute("SELECT botname, is_ended FROM run ORDER BY run_id").fetchall()
        answers = connection.execute(
            "SELECT botname, report FROM conversation WHERE role = 'user' AND element_id = 'B'"
        ).fetchall()
    assert [(name, bool(ended)) for name, ended in runs] == [("one", True), ("two", False)]
    assert answers == [("one", "my answer")]


async def test_d9_two_quick_answers_do_not_race(stage: Stage) -> None:
    stage.course("\n".join(f"Q{number}: {{type: input, text: question {number}}}" for number in range(1, 21)))
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    for number in range(1, 21):
        await learner.send(f"answer {number}")
    await stage.client.wait_idle(stage.bot().token)
    with psycopg.connect(stage.database_url) as connection:
        statement = "SELECT element_id, report FROM conversation WHERE role = 'user' ORDER BY conversation_id"
        assert connection.execute(statement).fetchall() == [
            (f"Q{number}", f"answer {number}") for number in range(1, 21)
        ]


async def test_a_refused_token_leaves_the_other_bots_alone(stage: Stage) -> None:
    stage.course(course("all"))
    await stage.client.add_bot(stage.bot("bad").token, "bad", "Bad")
    await stage.client.revoke(stage.bot("bad").token)
    host = stage.start(stage.bot("bad"), stage.bot("good"))
    learner = stage.learner("good")
    await learner.send("/start")
    await learner.wait_for(said("hello"))
    assert [bot.state for bot in host.bots] == [State.REFUSED, State.POLLING]
    assert host.is_healthy


async def test_a_token_revoked_while_running_ends_that_bot_alone(stage: Stage) -> None:
    stage.course(course("all"))
    host = stage.start(stage.bot("bad"), stage.bot("good"))
    for name in ("bad", "good"):
        await stage.learner(name).send("/start")
        await stage.learner(name).wait_for(said("hello"))
    await stage.client.revoke(stage.bot("bad").token)
    learner = stage.learner("good")
    await learner.press((await learner.transcript()).by_bot[-1])
    await learner.wait_for(said("type"))
    await until(lambda: host.bots[0].state is State.REFUSED)
    assert host.bots[1].state is State.POLLING


async def test_a_host_ends_when_no_bot_is_left(stage: Stage) -> None:
    stage.course(course("all"))
    await stage.client.add_bot(stage.bot().token, "bot", "Bot")
    await stage.client.revoke(stage.bot().token)
    host = stage.start()
    with pytest.raises(NoBotLeftError, match="no bot is left to run; see the errors above"):
        await stage.ended(host)


async def test_a_second_host_stands_by_and_takes_over(stage: Stage) -> None:
    stage.course(course("all"))
    first = stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("hello"))
    second = stage.start()
    await until(lambda: bool(second.bots) and second.bots[0].state is State.STANDBY)
    assert second.is_healthy
    await stage.stop(first)
    await learner.press((await learner.transcript()).by_bot[-1])
    await learner.wait_for(said("type"))
    assert second.bots[0].state is State.POLLING


async def test_a_lost_lock_is_taken_again(stage: Stage) -> None:
    stage.course(course("all"))
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("hello"))
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await learner.press((await learner.transcript()).by_bot[-1])
    await learner.wait_for(said("type"))
    await learner.send("x")
    chat = await learner.wait_for(said("bye"))
    assert [message.text for message in chat.by_bot] == ["hello from all", "type", "bye from all"]


async def test_two_pollers_of_one_token(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.course(course("all"))
    host = stage.start()
    await until(lambda: bool(host.bots) and host.bots[0].state is State.POLLING)
    url = f"{stage.sandbox_url}/bot{stage.bot().token}/getUpdates"
    for _ in range(2):  # once the first has ended, the host is polling for certain
        async with aiohttp.ClientSession() as http, http.get(url, params={"timeout": 30}) as answer:
            assert answer.status == 409  # the host has come back
    assert (
        "another program takes this bot's updates: containers beside a flotilla run, an old installation, or a webhook "
        "somebody has set; stop it, or give this bot a token of its own" in capsys.readouterr().out
    )
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("hello"))


async def test_a_webhook_is_removed_and_its_pending_updates_are_kept(stage: Stage) -> None:
    stage.course(course("all"))
    token = stage.bot().token
    await stage.client.add_bot(token, "bot", "Bot")
    url = f"{stage.sandbox_url}/bot{token}/setWebhook"
    async with aiohttp.ClientSession() as http, http.post(url, json={"url": "https://127.0.0.1:8443/nobody"}) as answer:
        assert answer.status == 200
    learner = stage.learner()
    await learner.send("/start")
    stage.start()
    await learner.wait_for(said("hello"))


async def test_d14_a_course_edited_to_garbage_keeps_its_last_good_version(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.course(course("the old one"))
    host = stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("the old one"))
    stage.write("course.yml", "A: {type: message, text: 'unclosed\n")
    await until(lambda: bool(host.bots[0].library.problems))
    await learner.press((await learner.transcript()).by_bot[-1])
    await learner.wait_for(said("type"))
    [problem] = host.bots[0].library.problems
    assert str(problem).startswith(f"{stage.scripts}/course.yml:")
    stage.write("course.yml", course("the new one"))
    await until(lambda: "the new one" in str(host.bots[0].library.courses))
    await learner.send("x")
    await learner.wait_for(said("bye from the new one"))


async def test_d5_old_polls_and_retractions_change_nothing(stage: Stage) -> None:
    stage.course("""
        Q1: {type: quiz, text: one, answers: [{text: a, correct: yes}, {text: b}]}
        Q2: {type: question, text: two, answers: [{text: a}, {text: b}]}
        Q3: {type: question, text: three, answers: [{text: a}, {text: b}]}
        E: {type: end, text: bye}
    """)
    stage.start()
    learner = stage.learner()

    def asked(question: str) -> Callable[[Transcript], bool]:
        return lambda chat: chat.last is not None and chat.last.poll is not None and chat.last.poll.question == question

    await learner.send("/start")
    chat = await learner.wait_for(asked("one"))
    first: Message = chat.by_bot[-1]
    await learner.vote(first, 1)
    chat = await learner.wait_for(asked("two"))
    await learner.wait_for(lambda chat: chat.by_bot[0].poll is not None and chat.by_bot[0].poll.is_closed)
    token = stage.bot().token
    assert first.poll is not None
    anna = {"id": 7, "first_name": "A", "is_bot": False}
    await stage.client.inject(token, {"poll_answer": {"poll_id": first.poll.id, "user": anna, "option_ids": [0]}})
    second = chat.by_bot[-1].poll
    assert second is not None
    await stage.client.inject(token, {"poll_answer": {"poll_id": second.id, "user": anna, "option_ids": []}})
    await stage.client.wait_idle(token)
    assert (await learner.transcript()).last == chat.by_bot[-1]
    await play(learner, said("bye"))
