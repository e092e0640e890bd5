"""Buttons and polls that the old program sent to chats that were taken over from it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Choice, Input, Jump, Message, Option, Quiz
from app.engine.action import AnswerPress, RemoveButtons
from app.engine.event import ButtonPressed, Event, Learner, PollAnswered
from app.engine.legacy import choice_meant
from app.engine.state import Chat, Run
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7)
HOUR = timedelta(hours=1)
ON, THERE, LATER = Choice("On"), Choice("There", goto="Name"), Choice("Later", wait=HOUR)


@pytest.mark.parametrize(
    ("data", "choices", "meant"),
    [
        ("got_it", (THERE, LATER, ON), ON),
        ("got_it", (THERE, LATER), THERE),
        ("got_it", (), None),
        ("goto_Name", (ON, THERE), THERE),
        ("goto_Na_me", (ON, Choice("x", goto="Na_me")), Choice("x", goto="Na_me")),
        ("goto_Gone", (ON, THERE), None),
        ("wait_1h", (ON, LATER), LATER),
        ("wait_60m", (ON, LATER), LATER),
        ("wait_2h", (ON, LATER), None),
        ("wait_soon", (ON, LATER), None),
        ("wait_1h", (Choice("x", goto="Name", wait=HOUR),), None),
    ],
)
def test_choice_meant(data: str, choices: tuple[Choice, ...], meant: Choice | None) -> None:
    assert choice_meant(data, choices) == meant


WHERE = Jump(
    "Where",
    {"type": "jump", "text": "?", "options": [{"text": "There", "goto": "Name"}, {"text": "Later", "wait": "1h"}]},
    text="?",
    choices=(THERE, LATER),
)
GO = Message("Go", {"type": "message", "text": "Go", "button": "On"}, text="Go", choices=(ON,))
QUIZ = Quiz(
    "Quiz",
    {"type": "quiz", "text": "?", "answers": [{"text": "a", "correct": True}, {"text": "b"}]},
    text="?",
    options=(Option("a", correct=True), Option("b")),
)
NAME = Input("Name", {"type": "input", "text": "Name?"}, text="Name?")
COURSES = Courses(
    {"default": Entry("default", "a.yml")}, {"default": Course({one.id: one for one in (WHERE, GO, QUIZ, NAME)})}
)


def adopted(element: AnyElement, **changes: object) -> Chat:
    run = Run(12, "default", element.id, 1, element.body, is_adopted=True)
    return Chat({"default": replace(run, **changes)}, "default")


def press(data: str) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "cb", data, 900)


def vote(*option_ids: int) -> PollAnswered:
    return PollAnswered(ANNA, AT, "poll", option_ids, None, is_bound=True)


@pytest.mark.parametrize(
    ("element", "event", "place"),
    [
        (GO, press("got_it"), "Quiz"),
        (WHERE, press("goto_Name"), "Name"),
        (WHERE, press("wait_1h"), "Where"),
        (WHERE, press("c:12:1:0"), "Name"),
        (QUIZ, vote(1), "Name"),
    ],
)
def test_what_the_old_program_has_shown_works_once(element: AnyElement, event: Event, place: str) -> None:
    moved = step(COURSES, adopted(element), event, TEXTS)
    run = moved.chat.run
    assert run is not None
    assert (run.element_id, run.step, run.is_adopted, run.is_waiting) == (place, 2, False, event == press("wait_1h"))
    again = step(COURSES, moved.chat, event, TEXTS)
    assert again.chat == moved.chat


def test_the_button_is_taken_away() -> None:
    moved = step(COURSES, adopted(GO), press("got_it"), TEXTS)
    assert moved.actions[:2] == (AnswerPress("cb"), RemoveButtons(900))


@pytest.mark.parametrize(
    ("chat", "data"),
    [
        pytest.param(adopted(GO, is_adopted=False), "got_it", id="moved on since"),
        pytest.param(adopted(GO, is_ended=True), "got_it", id="after the end"),
        pytest.param(adopted(NAME), "got_it", id="an input is not skipped"),
        pytest.param(adopted(QUIZ), "got_it", id="a quiz is not skipped"),
        pytest.param(adopted(GO), "goto_Name", id="not a choice of this element"),
        pytest.param(adopted(WHERE), "wait_9h", id="not a wait of this element"),
        pytest.param(adopted(WHERE, is_waiting=True), "wait_1h", id="waiting already"),
        pytest.param(Chat(), "got_it", id="nothing begun"),
    ],
)
def test_d6_old_buttons_are_stale_elsewhere(chat: Chat, data: str) -> None:
    stale = (AnswerPress("cb", TEXTS.stale_button),)
    is_ours = chat.run is not None and chat.run.is_adopted and not chat.run.is_ended and not chat.run.is_waiting
    assert step(COURSES, chat, press(data), TEXTS) == Step(chat, stale, is_unused=not is_ours)


@pytest.mark.parametrize("chat", [adopted(QUIZ, is_adopted=False), adopted(GO), adopted(QUIZ, is_ended=True)])
def test_d5_old_polls_are_ignored_elsewhere(chat: Chat) -> None:
    assert step(COURSES, chat, vote(1), TEXTS) == Step(chat, is_unused=True)


def test_d5_a_vote_must_fit_the_poll_on_screen() -> None:
    assert step(COURSES, adopted(QUIZ), vote(5), TEXTS) == Step(adopted(QUIZ))
