"""Waits are delivered once and on time, whatever happens to the host meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

from app.course.course import Courses, Entry
from app.course.loader import load_course
from app.engine.event import ButtonPressed, Learner, StartRequested
from app.runtime.bot import State
from app.runtime.decision import Rules
from app.runtime.turn import apply
from app.store.store import Store
from app.telegram.decode import Update
from tests.stage import Stage, said, until

COURSE = """
    Begin: {type: message, text: Ready?, button: Go}
    Night: {type: delay, text: Good night, wait: %s, goto: Morning}
    Never: {type: message, text: never seen}
    Morning: {type: input, text: Good morning}
    Bye: {type: end, text: Goodbye}
"""
DAY = COURSE % "1d"


def pass_a_day(stage: Stage) -> None:
    """Move the clock: what is due tomorrow is due now."""
    stage.query("UPDATE waiting_element SET due_at = due_at - interval '24 hours'")


async def until_night(stage: Stage, learner_id: int = 7) -> None:
    learner = stage.learner(learner_id=learner_id)
    await learner.send("/start")
    await learner.press(await learner.wait_message())
    await learner.wait_for(said("Good night"))


def times_seen(chat: Any, text: str) -> int:
    return sum(text in message.text for message in chat.by_bot)


async def test_a_delay_of_a_second(stage: Stage) -> None:
    stage.course(COURSE % "1s")
    stage.start()
    await until_night(stage)
    learner = stage.learner()
    await learner.send("now!")
    await learner.wait_for(said("by itself"))
    await learner.wait_for(said("Good morning"))
    await learner.send("Morning")
    chat = await learner.wait_for(said("Goodbye"))
    assert [message.text for message in chat.by_bot] == [
        "Ready?",
        "Good night",
        "Nothing to do for now: the course goes on by itself, and a message will come.",
        "Good morning",
        "Goodbye",
    ]
    assert stage.query("SELECT element_id, role, report FROM conversation ORDER BY conversation_id") == [
        ("Begin", "bot", "Ready?"),
        ("Begin", "user", "Go"),
        ("Night", "bot", "Good night"),
        ("Morning", "bot", "Good morning"),
        ("Morning", "user", "Morning"),
        ("Bye", "bot", "Goodbye"),
    ]


async def test_a_delay_of_a_day(stage: Stage) -> None:
    stage.course(DAY)
    stage.start()
    await until_night(stage)
    pass_a_day(stage)
    chat = await stage.learner().wait_for(said("Good morning"))
    assert times_seen(chat, "Good morning") == 1
    assert stage.query("SELECT element_id, course_id, is_waiting FROM waiting_element") == [
        ("Morning", "default", False)
    ]


async def test_d38_a_timer_that_was_due_while_the_host_was_down(stage: Stage) -> None:
    stage.course(DAY)
    host = stage.start()
    await until_night(stage)
    await stage.stop(host)
    pass_a_day(stage)
    stage.start()
    learner = stage.learner()
    await learner.wait_for(said("Good morning"))
    await learner.send("Morning")
    chat = await learner.wait_for(said("Goodbye"))
    assert times_seen(chat, "Good morning") == 1


async def test_d38_two_hosts_deliver_once(stage: Stage) -> None:
    stage.course(DAY)
    first, second = stage.start(), stage.start()
    await until(lambda: {bot.state for host in (first, second) for bot in host.bots} == {State.POLLING, State.STANDBY})
    for learner_id in range(20, 40):
        await until_night(stage, learner_id)
    pass_a_day(stage)
    for learner_id in range(20, 40):
        learner = stage.learner(learner_id=learner_id)
        await learner.wait_for(said("Good morning"))
        await learner.send("Morning")
        assert times_seen(await learner.wait_for(said("Goodbye")), "Good morning") == 1
    assert stage.query("SELECT count(*) FROM conversation WHERE element_id = 'Morning' AND role = 'bot'") == [(20,)]


async def test_d38_a_host_that_is_killed_delivers_no_timer_twice(stage: Stage) -> None:
    stage.course(DAY)
    process = await stage.spawn()
    for learner_id in range(20, 40):
        await until_night(stage, learner_id)
    pass_a_day(stage)
    await stage.learner(learner_id=20).wait_for(said("Good morning"))
    process.kill()
    await process.wait()
    await stage.spawn()
    for learner_id in range(20, 40):
        learner = stage.learner(learner_id=learner_id)
        await learner.wait_for(said("Good morning"))
        await learner.send("Morning")
        await learner.wait_for(said("Goodbye"))
    assert stage.query("SELECT count(*) FROM conversation WHERE element_id = 'Morning' AND role = 'bot'") == [(20,)]


async def test_d8_starting_over_cancels_the_timer(stage: Stage) -> None:
    stage.course(DAY)
    stage.start()
    await until_night(stage)
    learner = stage.learner()
    await learner.send("/start")
    chat = await learner.wait_for(said("already begun"))
    await learner.press(chat.by_bot[-1], 1)
    await learner.wait_for(said("Ready?"))
    assert stage.query("SELECT is_waiting FROM waiting_element") == [(False,)]


async def test_d8_a_timer_that_is_cancelled_in_the_turn_that_starts_it(store: Store) -> None:
    course, _ = load_course(dedent(DAY), "course.yml")
    rules = Rules("bot", Courses({"default": Entry("default", "course.yml")}, {"default": course}), "en")
    anna, now = Learner(7, "anna"), datetime.now(UTC)

    def pressed(update_id: int, data: str) -> Update:
        return Update(update_id, {}, 7, ButtonPressed(anna, now, "cb", data, 1), "cb")

    await apply(store, rules, [Update(1, {}, 7, StartRequested(anna, now, ""))])
    assert (await apply(store, rules, [pressed(2, "c:1:1:0"), pressed(3, "s:1:2")])).has_timers is False
    assert await store.next_timers("bot", 1) == []
    assert (await apply(store, rules, [pressed(4, "c:2:1:0")])).has_timers is True
    assert [timer.run_id for timer in await store.next_timers("bot", 1)] == [2]


async def test_d3_a_timer_of_an_ended_run_reopens_it(stage: Stage) -> None:
    stage.course(DAY)
    host = stage.start()
    await until_night(stage)
    await stage.stop(host)
    stage.query("UPDATE chat SET state = jsonb_set(state, '{runs,default,ended}', 'true')")
    stage.query("UPDATE run SET is_ended = true")
    pass_a_day(stage)
    stage.start()
    learner = stage.learner()
    await learner.wait_for(said("Good morning"))
    assert stage.query("SELECT is_ended FROM run") == [(False,)]
    await learner.send("Morning")
    await learner.wait_for(said("Goodbye"))
    assert stage.query("SELECT is_ended FROM run") == [(True,)]


async def test_d36_a_choice_that_waits(stage: Stage) -> None:
    stage.course("""
        When:
          type: jump
          text: When?
          options:
            - {text: Later, wait: 1s, wait_text: See you}
            - {text: Much later, wait: 1d, wait_text: Not me}
        Next: {type: end, text: Here we are}
    """)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.press(await learner.wait_message(), 0)
    chat = await learner.wait_for(said("Here we are"))
    assert [(message.text, message.buttons) for message in chat.by_bot] == [
        ("When?", ()),
        ("See you", ()),
        ("Here we are", ()),
    ]


async def test_d37_a_learner_without_a_username_goes_on(stage: Stage) -> None:
    stage.course(COURSE % "1s")
    stage.start()
    learner = stage.learner(username="")
    await learner.send("/start")
    await learner.press(await learner.wait_message())
    await learner.wait_for(said("Good morning"))
    assert stage.query("SELECT DISTINCT username FROM conversation") == [("--empty--",)]


async def test_d38_a_timer_that_fails_does_not_hold_up_the_others(stage: Stage) -> None:
    stage.course(DAY)
    host = stage.start()
    await until_night(stage, 20)
    await until_night(stage, 21)
    await stage.stop(host)
    stage.query("UPDATE chat SET state = '{\"v\": 99}' WHERE chat_id = 20")
    pass_a_day(stage)
    stage.start()
    await stage.learner(learner_id=21).wait_for(said("Good morning"))
    assert stage.query("SELECT chat_id, is_waiting, due_at > now() FROM waiting_element ORDER BY chat_id") == [
        (20, True, True),
        (21, False, False),
    ]


async def test_the_database_goes_away_while_a_timer_waits(stage: Stage) -> None:
    stage.course(COURSE % "2s")
    stage.start()
    await until_night(stage)
    stage.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    chat = await stage.learner().wait_for(said("Good morning"))
    assert times_seen(chat, "Good morning") == 1


async def test_a_revision_and_a_test_in_telegram(stage: Stage) -> None:
    stage.course("""
        Q_1: {type: quiz, text: one, answers: [{text: wrong}, {text: right, correct: yes}]}
        Again: {type: revision, text: Once more, prefix: Q_, no_mistakes: All right, button: Go}
        Result: {type: test, text: "{score} of {maxscore}", prefix: Q_, score: {50: good, 100: hm}, button: OK}
        Bye: {type: end, text: Goodbye}
    """)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.vote(await learner.wait_message(), 0)
    chat = await learner.wait_for(said("Once more"))
    await learner.press(chat.by_bot[-1])
    chat = await learner.wait_for(lambda chat: chat.last is not None and chat.last.poll is not None)
    await learner.vote(chat.by_bot[-1], 1)
    chat = await learner.wait_for(said("1 of 1\ngood"))
    await learner.press(chat.by_bot[-1])
    await learner.wait_for(said("Goodbye"))
    assert stage.query(
        "SELECT element_id, score, maxscore, json::json->'attempt' FROM conversation WHERE score IS NOT NULL "
        "ORDER BY conversation_id",
    ) == [("Q_1", 0, 1, None), ("Q_1", 1, 1, 2), ("Result", 1, 1, None)]


async def test_texts_of_timers_are_in_the_learners_language(stage: Stage) -> None:
    stage.course(DAY)
    host = stage.start(stage.bot(language=None))
    learner = stage.learner(language_code="ru")
    await learner.send("/start")
    await learner.press(await learner.wait_message())
    await learner.wait_for(said("Good night"))
    await stage.stop(host)
    stage.course("Begin: {type: message, text: Ready?, button: Go}\nBye: {type: end, text: Goodbye}")
    pass_a_day(stage)
    stage.start(stage.bot(language=None))
    await learner.wait_for(said("Курс изменился"))
