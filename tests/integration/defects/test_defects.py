"""Defects of the old program, seen from outside: what a learner gets and what the database holds instead.

Those that one part alone decides have their tests there; all are called ``test_dNN_...`` by their numbers in
course-format.md, section 7.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.config.settings import BotSettings, DialogSettings
from app.sandbox.client import LearnerClient, Message, Transcript
from app.texts import texts_for
from tests.model_server import ModelServer
from tests.stage import Stage, play, said

EN = texts_for("en")


def recorded(stage: Stage) -> list[tuple[Any, ...]]:
    """Return the transcript: element, role, report, score."""
    return stage.query("SELECT element_id, role, report, score FROM conversation ORDER BY conversation_id")


def texts(chat: Transcript) -> list[str]:
    return [message.text for message in chat.by_bot]


async def begin(stage: Stage, **profile: Any) -> tuple[LearnerClient, Message]:
    """Let a learner start the course, and return the first message too."""
    learner = stage.learner(**profile)
    await learner.send("/start")
    return learner, await learner.wait_message()


async def wait_poll(learner: LearnerClient, question: str) -> Message:
    def is_there(chat: Transcript) -> bool:
        return chat.last is not None and chat.last.poll is not None and chat.last.poll.question == question

    last = (await learner.wait_for(is_there)).last
    assert last is not None
    return last


def bot_with(stage: Stage, model: ModelServer) -> BotSettings:
    return stage.bot(dialog=DialogSettings(base_url=model.url, api_key="sk-secret", model="tiny", retries=0))


# --- state and routing ------------------------------------------------------------------------------------------------


async def test_d5_a_poll_is_closed_when_it_is_answered(stage: Stage) -> None:
    stage.course("""
        One: {type: question, text: one, answers: [{text: a}, {text: b}]}
        Two: {type: question, text: two, answers: [{text: a}, {text: b}]}
    """)
    stage.start()
    learner, poll = await begin(stage)
    await learner.vote(poll, 1)
    await wait_poll(learner, "two")
    chat = await learner.wait_for(lambda chat: [m.poll and m.poll.is_closed for m in chat.by_bot] == [True, False])
    assert chat.by_bot[0].poll is not None
    assert chat.by_bot[0].poll.vote == (1,)


async def test_d10_what_telegram_cannot_read_is_sent_as_it_is_and_the_course_goes_on(stage: Stage) -> None:
    stage.course("""
        Odd: {type: message, text: "an _odd text", button: On}
        Tag: {type: message, text: "<b>never closed", parse_mode: HTML, button: On}
        Bye: {type: end, text: bye}
    """)
    stage.start()
    learner, _ = await begin(stage)
    assert texts(await play(learner, said("bye"))) == ["an _odd text", "<b>never closed", "bye"]


# --- quiz, input, multi_choice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("vote", "score"), [(0, 1), (1, 1), (2, 0)])
async def test_d15_any_right_answer_scores_and_telegram_shows_the_last(stage: Stage, vote: int, score: int) -> None:
    stage.course("""
        Q:
          type: quiz
          text: which
          answers: [{text: a, correct: "yes"}, {text: b, correct: yes}, {text: c, correct: "no"}]
        Bye: {type: end, text: bye}
    """)
    stage.start()
    learner, poll = await begin(stage)
    assert poll.poll is not None
    await learner.vote(poll, vote)
    chat = await learner.wait_for(said("bye"))
    assert chat.by_bot[0].poll is not None
    assert chat.by_bot[0].poll.correct == (1,)
    assert [points for *_, points in recorded(stage) if points is not None] == [score]


async def test_d16_scores_do_not_depend_on_feedback(stage: Stage) -> None:
    stage.course("""
        Name: {type: input, text: name, correct_answer: Ann}
        Q: {type: quiz, text: which, answers: [{text: a}, {text: b, correct: yes}]}
        Bye: {type: end, text: bye}
    """)
    stage.start()
    learner, _ = await begin(stage)
    await learner.send(" ann ")
    await learner.vote(await wait_poll(learner, "which"), 0)
    assert texts(await learner.wait_for(said("bye"))) == ["name", "", "bye"]
    assert [row for row in recorded(stage) if row[3] is not None] == [("Name", "bot", None, 1), ("Q", "bot", None, 0)]


async def test_d17_choices_are_recorded_and_verdicts_may_be_missing(stage: Stage) -> None:
    stage.course("""
        M:
          type: multi_choice
          text: which
          answers: [{text: a, correct: yes}, {text: b, correct: "no"}, {text: c, correct: "yes"}]
        Bye: {type: end, text: bye}
    """)
    stage.start()
    learner, poll = await begin(stage)
    await learner.vote(poll, 0, 2)
    await learner.wait_for(said("bye"))
    assert recorded(stage)[1:4] == [
        ("M", "user", "a\nc", None),
        ("M", "bot", "✅ a\n✅ c", None),
        ("M", "bot", None, 1),
    ]


# --- dialog -----------------------------------------------------------------------------------------------------------


async def test_d18_a_stop_marker_counts_when_the_model_speaks_first(stage: Stage, model: ModelServer) -> None:
    stage.course("""
        Talk: {type: dialog, text: hello, prompt: "Greet, then {STOP}", auto_start: yes}
        Bye: {type: end, text: bye}
    """)
    model.say("Good evening! {STOP}")
    stage.start(bot_with(stage, model))
    learner, _ = await begin(stage)
    assert texts(await learner.wait_for(said("bye"))) == ["hello", "Good evening!", "bye"]
    assert recorded(stage)[:2] == [("Talk", "bot", "hello", None), ("Talk", "bot", "Good evening!", None)]
    assert all(content.strip() for _, content in model.asked[0].messages)


async def test_d26_a_turn_is_stored_once(stage: Stage, model: ModelServer) -> None:
    """The prompt stands in one row, and what was said in one row each, however long the dialog gets."""
    stage.course("""
        Talk: {type: dialog, text: hello, prompt: "A prompt of some length, told only once. {STOP}"}
        Bye: {type: end, text: bye}
    """)
    stage.start(bot_with(stage, model))
    learner, _ = await begin(stage)
    for number in range(1, 9):
        await learner.send(f"message {number}")
        await learner.wait_for(said(f"You said: message {number}"))
    await learner.send("bye")
    await learner.wait_for(lambda chat: texts(chat)[-1] == "bye")
    stored = [row for (row,) in stage.query("SELECT json FROM conversation WHERE element_id = 'Talk'")]
    assert [sum("told only once" in row for row in stored)] == [1]
    assert [json.loads(row).get("content") for row in stored][:4] == [
        None, "message 1", "You said: message 1", "message 2",
    ]  # fmt: skip
    assert [sum(f"message {number}" in row for row in stored) for number in range(1, 9)] == [2] * 8
    assert len(model.asked[-1].messages) == 1 + 2 * 8 + 1


# --- bans and access --------------------------------------------------------------------------------------------------


async def test_d28_a_closed_course_says_so_and_the_word_no_closes_nothing(stage: Stage) -> None:
    stage.course("Hi: {type: end, text: hello}")
    stage.write(
        "courses.yml",
        """
        default: {path: course.yml, restricted: "no"}
        closed: {path: course.yml, restricted: yes}
        """,
    )
    stage.start()
    learner, first = await begin(stage, username="")
    await learner.send("/start closed")
    chat = await learner.wait_for(lambda chat: len(chat.by_bot) > 1)
    assert (first.text, texts(chat)[1]) == ("hello", EN.not_admitted)


# --- sending and storage ----------------------------------------------------------------------------------------------


async def test_d42_long_questions_and_equal_answers_do_not_stop_a_course(stage: Stage) -> None:
    question = "why " * 100
    stage.course(f"""
        Q: {{type: question, text: "{question}", answers: [{{text: same}}, {{text: same}}]}}
        Bye: {{type: end, text: bye}}
    """)
    stage.start()
    learner, first = await begin(stage)
    poll = await learner.wait_message(after=first.id)
    assert first.text == question.strip()
    assert poll.poll is not None
    assert poll.poll.options == ("same", "same (2)")
    assert len(poll.poll.question) == 300
    await learner.vote(poll, 1)
    await learner.wait_for(said("bye"))


async def test_d44_connections_are_kept_and_few(stage: Stage) -> None:
    """Thirty learners at once take no more connections than the host had before they came."""
    stage.course("""
        A: {type: message, text: ready?, button: On}
        B: {type: input, text: name}
        C: {type: test, text: "{score} of {maxscore}", prefix: B, score: {100: fine}, button: On}
        Bye: {type: end, text: bye}
    """)
    host = stage.start()
    await play((await begin(stage, learner_id=1))[0], said("bye"), {"name": "x"})

    async def take(learner_id: int) -> None:
        learner, _ = await begin(stage, learner_id=learner_id)
        await play(learner, said("bye"), {"name": "x"})

    before = sessions(stage)
    await asyncio.gather(*(take(learner_id) for learner_id in range(20, 50)))
    assert stage.query("SELECT count(*) FROM run WHERE is_ended") == [(31,)]
    await stage.stop(host)
    assert sessions(stage) - before <= POOL + OUR_OWN


POOL, OUR_OWN = 4, 3
"""What a store may open, if it had not before, and what this test does."""


def sessions(stage: Stage) -> int:
    """Return how many connections to the database there have ever been."""
    [(count,)] = stage.query("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    return int(count)


async def test_d47_every_action_and_attempt_is_recorded_with_its_time(stage: Stage) -> None:
    stage.course("""
        Where: {type: jump, text: where, options: [{text: There, goto: Q_1}, {text: Nowhere}]}
        Q_1: {type: quiz, text: which, answers: [{text: a}, {text: b, correct: yes}]}
        Again: {type: revision, text: once more, prefix: Q_, no_mistakes: fine, button: Ready}
        Bye: {type: end, text: bye}
    """)
    stage.start()
    learner, menu = await begin(stage)
    await learner.press(menu, "There")
    await learner.vote(await wait_poll(learner, "which"), 0)
    again = (await learner.wait_for(said("once more"))).last
    assert again is not None
    await learner.press(again)
    await learner.vote(await wait_poll(learner, "which"), 1)
    await learner.wait_for(said("bye"))
    rows = stage.query("SELECT element_id, role, report, json FROM conversation ORDER BY conversation_id")
    assert [(element, report) for element, role, report, _ in rows if role == "user"] == [
        ("Where", "There"), ("Q_1", "a"), ("Again", "Ready"), ("Q_1", "b"),
    ]  # fmt: skip
    attempts = [json.loads(snapshot or "{}").get("attempt", 1) for element, *_, snapshot in rows if element == "Q_1"]
    assert (attempts[0], attempts[-1]) == (1, 2)
    assert stage.query("SELECT count(*) FROM conversation WHERE date_inserted IS NULL OR run_id IS NULL") == [(0,)]
