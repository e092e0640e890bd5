"""Delays, choices that wait, and what comes when a timer is due."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.config.options import DEFAULT_OPTIONS
from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Choice, Delay, End, Input, Jump, Message, ParseMode
from app.engine.action import (
    AnswerPress,
    Button,
    CancelTimers,
    EndRun,
    RecordRow,
    RemoveButtons,
    ReopenRun,
    Role,
    SendText,
    StartRun,
    StartTimer,
)
from app.engine.event import ButtonPressed, ContentReceived, Event, Learner, StartRequested, TextReceived, TimeReached
from app.engine.scene import Scene
from app.engine.state import Chat, Offer, Run, Score
from app.engine.step import Step, step
from app.engine.walk import walk
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7, "anna", "en")
MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML
DAY = timedelta(days=1)

NAME = Input("Name", {"type": "input", "text": "Name?"}, text="Name?")
AGE = Input("Age", {"type": "input", "text": "Age?"}, text="Age?")
BYE = End("Bye", {"type": "end", "text": "Bye"}, text="Bye")
GO = Message("Go", {"type": "message", "text": "Go", "button": "OK"}, text="Go", choices=(Choice("OK"),))
NIGHT = Delay("Night", {"type": "delay", "wait": "1d", "goto": "Age"}, wait=DAY, goto="Age", text="Good night")
LATER = Choice("Later", wait=DAY, wait_text="<b>See you</b>")
WHEN = Jump(
    "When",
    {
        "type": "jump",
        "text": "When?",
        "parse_mode": "HTML",
        "options": [
            {"text": "Later", "wait": "1d", "wait_text": "<b>See you</b>"},
            {"text": "Much later", "wait": "9d", "wait_text": "Not me"},
            {"text": "Now"},
        ],
    },
    text="When?",
    choices=(LATER, Choice("Much later", wait=9 * DAY, wait_text="Not me"), Choice("Now")),
    parse_mode=HTML,
)


def courses_of(*elements: AnyElement) -> Courses:
    return Courses({"default": Entry("default", "a.yml")}, {"default": Course({one.id: one for one in elements})})


def standing(element: AnyElement, step: int = 3, **changes: object) -> Run:
    return replace(Run(12, "default", element.id, step, element.body), **changes)


def chat_with(*runs: Run, offer: Offer | None = None) -> Chat:
    return Chat({run.course_id: run for run in runs}, runs[-1].course_id if runs else None, offer)


def bot_row(element: AnyElement, report: str, **changes: object) -> RecordRow:
    kind = element.body["type"]
    return replace(RecordRow(12, "default", element.id, kind, Role.BOT, report, body=element.body), **changes)


def user_row(element: AnyElement, report: str) -> RecordRow:
    return bot_row(element, report, role=Role.USER)


def asked(element: Input, **changes: object) -> tuple[SendText, RecordRow]:
    return SendText(element.text, MARKDOWN), bot_row(element, element.text, **changes)


def press(data: str, run_id: int = 0) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "cb", data, 900, run_id)


def due(element_id: str | None, run_id: int = 12) -> TimeReached:
    return TimeReached(ANNA, AT, run_id, element_id)


PRESSED = (AnswerPress("cb"), RemoveButtons(900))
STALE = (AnswerPress("cb", TEXTS.stale_button),)


# --- delays ---------------------------------------------------------------------------------------------------------


def test_a_delay_stands_still() -> None:
    assert step(courses_of(GO, NIGHT, NAME, AGE), chat_with(standing(GO)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(standing(NIGHT, 4, is_waiting=True)),
        (
            *PRESSED,
            user_row(GO, "OK"),
            SendText("Good night", MARKDOWN),
            bot_row(NIGHT, "Good night"),
            StartTimer(12, "default", "Age", DAY),
        ),
    )


def test_d39_a_silent_delay_is_recorded() -> None:
    silent = replace(NIGHT, text="")
    after = step(courses_of(GO, silent, AGE), chat_with(standing(GO)), press("c:12:3:0"), TEXTS)
    assert after.actions[3:] == (
        bot_row(silent, "Waits 1 day, 0:00:00, then Age"),
        StartTimer(12, "default", "Age", DAY),
    )


def test_the_course_goes_on_after_a_delay() -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True))
    assert step(courses_of(NIGHT, NAME, AGE), chat, due("Age"), TEXTS) == Step(
        chat_with(standing(AGE, 4)), tuple(asked(AGE))
    )


WAITING = [
    pytest.param(standing(NIGHT, is_waiting=True), id="delay"),
    pytest.param(standing(WHEN, is_waiting=True), id="choice"),
]


@pytest.mark.parametrize("run", WAITING)
@pytest.mark.parametrize("event", [TextReceived(ANNA, AT, "Now!"), ContentReceived(ANNA, AT, "voice")])
def test_a_learner_who_cannot_wait_is_told_to(run: Run, event: Event) -> None:
    chat = chat_with(run)
    told = (SendText(TEXTS.wait_please),)
    assert step(courses_of(NIGHT, WHEN, NAME, AGE), chat, event, TEXTS) == Step(chat, told, is_unused=True)


@pytest.mark.parametrize("run", WAITING)
def test_d8_start_while_waiting_offers_to_go_on(run: Run) -> None:
    chat = chat_with(run)
    first = NIGHT if run.element_id == "Night" else WHEN
    buttons = (Button(TEXTS.resume_button, "r:12:3"), Button(TEXTS.restart_button, "s:12:3"))
    assert step(courses_of(first, NAME, AGE), chat, StartRequested(ANNA, AT, "", 50), TEXTS) == Step(
        replace(chat, offer=Offer("default")), (SendText(TEXTS.offer_resume, buttons=buttons),)
    )


def test_resuming_does_not_begin_to_wait_again() -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True))
    assert step(courses_of(NIGHT, AGE), chat, press("r:12:3"), TEXTS) == Step(
        chat_with(standing(NIGHT, 4, is_waiting=True)),
        (*PRESSED, user_row(NIGHT, TEXTS.resume_button), SendText(TEXTS.wait_please)),
    )


@pytest.mark.parametrize(
    ("is_ended", "ended"), [pytest.param(False, (EndRun(12),), id="open"), pytest.param(True, (), id="ended")]
)
def test_d8_starting_over_cancels_the_timer(is_ended: bool, ended: tuple[EndRun, ...]) -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True, is_ended=is_ended))
    assert step(courses_of(NAME, NIGHT, AGE), chat, press("s:12:3", 50), TEXTS) == Step(
        chat_with(standing(NAME, 1, run_id=50)),
        (
            *PRESSED,
            user_row(NIGHT, TEXTS.restart_button),
            CancelTimers(12),
            *ended,
            StartRun(50, "default"),
            *asked(NAME, run_id=50),
        ),
    )


def test_d8_a_timer_of_a_superseded_run_changes_nothing() -> None:
    chat = chat_with(standing(NAME, run_id=50))
    assert step(courses_of(NAME, NIGHT, AGE), chat, due("Age", run_id=12), TEXTS) == Step(chat)


def test_whatever_moves_a_waiting_run_cancels_its_timer() -> None:
    courses = courses_of(NIGHT, AGE)
    walked = walk(
        Scene(courses, Chat(), TEXTS, DEFAULT_OPTIONS),
        courses.courses["default"],
        standing(NIGHT, is_waiting=True),
        AGE,
    )
    assert walked == (standing(AGE, 4), (CancelTimers(12), *asked(AGE)))


# --- choices --------------------------------------------------------------------------------------------------------


def test_d36_only_the_wait_text_of_the_choice_is_sent() -> None:
    assert step(courses_of(WHEN, NAME, AGE), chat_with(standing(WHEN)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(standing(WHEN, 4, is_waiting=True)),
        (
            *PRESSED,
            user_row(WHEN, "Later"),
            SendText("<b>See you</b>", HTML),
            bot_row(WHEN, "<b>See you</b>"),
            StartTimer(12, "default", "Name", DAY),
        ),
    )


def test_a_choice_may_wait_without_a_text() -> None:
    quiet = replace(WHEN, choices=(Choice("Later", wait=DAY),))
    after = step(courses_of(quiet, NAME), chat_with(standing(quiet)), press("c:12:3:0"), TEXTS)
    assert after.actions == (*PRESSED, user_row(quiet, "Later"), StartTimer(12, "default", "Name", DAY))


def test_d35_a_message_may_have_choices_that_wait() -> None:
    body = {"type": "message", "text": "When?", "options": [{"text": "Later", "wait": "1d"}]}
    message = Message("When", body, text="When?", choices=(Choice("Later", wait=DAY),))
    after = step(courses_of(message, NAME), chat_with(standing(message)), press("c:12:3:0"), TEXTS)
    assert after.actions[-1] == StartTimer(12, "default", "Name", DAY)


def test_d6_the_other_buttons_are_stale_while_a_choice_waits() -> None:
    chat = chat_with(standing(WHEN, 4, is_waiting=True))
    assert step(courses_of(WHEN, NAME), chat, press("c:12:3:2"), TEXTS) == Step(chat, STALE)


def test_a_choice_that_waits_may_be_the_last_of_the_course() -> None:
    after = step(courses_of(NAME, WHEN), chat_with(standing(WHEN)), press("c:12:3:0"), TEXTS)
    assert after.actions[-1] == StartTimer(12, "default", None, DAY)
    assert step(courses_of(NAME, WHEN), after.chat, due(None), TEXTS) == Step(
        chat_with(standing(WHEN, 4, is_ended=True)), (EndRun(12),)
    )


def test_a_choice_that_waits_on_an_element_that_has_gone() -> None:
    after = step(courses_of(NAME), chat_with(standing(WHEN)), press("c:12:3:0"), TEXTS)
    assert after.chat == chat_with(standing(WHEN, is_ended=True))
    assert after.actions[-2:] == (
        EndRun(12),
        SendText(TEXTS.course_changed, buttons=(Button(TEXTS.restart_button, "s:12:3"),)),
    )


# --- when a timer is due --------------------------------------------------------------------------------------------


def test_d4_a_timer_leads_to_its_own_place() -> None:
    elsewhere = standing(BYE, 9)
    assert step(courses_of(WHEN, NAME, BYE, AGE), chat_with(elsewhere), due("Name"), TEXTS) == Step(
        chat_with(standing(NAME, 10)), tuple(asked(NAME))
    )


def test_d4_a_timer_leads_back_from_another_course() -> None:
    there = standing(NAME, course_id="spring", run_id=13)
    here = standing(NIGHT, is_waiting=True, scores={"Quiz": Score(1, 1)})
    after = step(courses_of(NIGHT, NAME, AGE), chat_with(here, there), due("Age"), TEXTS)
    assert after == Step(
        Chat({"default": standing(AGE, 4, scores={"Quiz": Score(1, 1)}), "spring": there}, "default"),
        tuple(asked(AGE)),
    )


def test_d3_a_timer_reopens_an_ended_run() -> None:
    chat = chat_with(standing(BYE, is_ended=True, is_waiting=True))
    after = step(courses_of(NIGHT, BYE, AGE), chat, due("Age"), TEXTS)
    assert after == Step(chat_with(standing(AGE, 4)), (ReopenRun(12), *asked(AGE)))
    assert step(courses_of(NIGHT, BYE, AGE), after.chat, TextReceived(ANNA, AT, "42"), TEXTS) == Step(
        chat_with(standing(AGE, 4, is_ended=True)), (user_row(AGE, "42"), EndRun(12))
    )


def test_d37_nobody_needs_a_username_to_go_on() -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True))
    after = step(courses_of(NIGHT, AGE), chat, TimeReached(Learner(7), AT, 12, "Age"), TEXTS)
    assert after == Step(chat_with(standing(AGE, 4)), tuple(asked(AGE)))


def test_d38_a_timer_waits_for_a_course_that_cannot_be_loaded() -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True))
    broken = Courses({"default": Entry("default", "a.yml")})
    assert step(broken, chat, due("Age"), TEXTS) == Step(
        chat, (StartTimer(12, "default", "Age", timedelta(minutes=1)),)
    )


def test_a_timer_whose_target_has_gone() -> None:
    chat = chat_with(standing(NIGHT, is_waiting=True))
    restart = Button(TEXTS.restart_button, "s:12:3")
    assert step(courses_of(NIGHT, NAME), chat, due("Age"), TEXTS) == Step(
        chat_with(standing(NIGHT, is_ended=True)), (EndRun(12), SendText(TEXTS.course_changed, buttons=(restart,)))
    )
