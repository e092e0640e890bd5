"""The robot learner: it gets through good courses, and finds what is wrong with an engine that has a defect.

A proof that cannot fail proves nothing, so the real engine is also given defects here, one at a time.
"""

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Course, Courses, Entry
from app.course.loader import load_course
from app.engine.action import (
    AnswerPress,
    Button,
    MediaKind,
    RecordRow,
    SendMedia,
    SendPoll,
    SendSpeech,
    SendText,
    StartJob,
    StartTimer,
)
from app.engine.event import ButtonPressed, Event, PollAnswered, TextReceived
from app.engine.scene import Step
from app.engine.state import Chat
from app.engine.step import step
from app.runtime.library import Library
from app.runtime.phone import Phone
from app.runtime.robot import Engine, Failure, Robot, Walked
from app.texts import Texts, texts_for
from tests.unit.course.real import FOLDER as REAL
from tests.unit.course.real import REASON

ROOT = Path(__file__).parents[3]
TEXTS = texts_for("en")
OPTIONS = replace(DEFAULT_OPTIONS, app_url="https://example.org/app/")

EVERYTHING = """
    Ex1_hi: {type: message, text: hi, media: https://example.org/a.jpg}
    Ex1_section: {type: section, title: hi}
    Ex1_go: {type: message, text: hi, button: go}
    Ex1_song: {type: audio, media: https://example.org/a.mp3, text: hi}
    Ex1_input: {type: input, text: hi, correct_answer: hi, feedback_incorrect: no}
    Ex1_quiz: {type: quiz, text: hi, answers: [{text: a, correct: yes}, b]}
    Ex1_question: {type: question, text: hi, answers: [a, b, c]}
    Ex1_multi: {type: multi_choice, text: hi, answers: [{text: a, correct: yes}, b], feedback_correct: yes}
    Ex2_talk: {type: dialog, text: hi, prompt: 'talk, then {STOP}', auto_start: yes}
    Ex2_voice: {type: dialog, text: hi, prompt: 'talk {{Ex2_talk}} {STOP}', voice_response: yes, button: enough}
    Ex2_app: {type: miniapp, text: hi, button: go, question: {text: q, options: [x, y]}, answer: {actual: x}}
    Ex3_test: {type: test, text: hi, prefix: Ex1, score: {50: a, 100: b}, button: go}
    Ex3_again: {type: revision, text: hi, prefix: Ex1, no_mistakes: none, button: go}
    Ex3_menu:
      type: jump
      text: hi
      options: [{text: again, goto: Ex1_go}, {text: later, wait: 1d, wait_text: ok}, {text: on, goto: Ex4_delay}]
    Ex3_end: {type: end, text: bye}
    Ex4_delay: {type: delay, text: hi, wait: 1h, goto: Ex4_bye}
    Ex4_bye: {type: message, text: bye, button: bye}
"""


def course_of(text: str) -> Course:
    course, problems = load_course(dedent(text), "scripts/a.yml")
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    return course


def courses_of(text: str) -> Courses:
    return Courses({"default": Entry("default", "scripts/a.yml")}, {"default": course_of(text)})


def failures(courses: Courses, count: int, engine: Engine = step, options: Options = OPTIONS) -> list[Failure]:
    robot = Robot(courses, TEXTS, options, engine)
    return [
        walked.failure
        for course_id in courses.courses
        for seed in range(count)
        if (walked := robot.walk(course_id, seed)).failure
    ]


# --- courses that are good -------------------------------------------------------------------------------------------


def test_every_element_is_walked_through() -> None:
    robot = Robot(courses_of(EVERYTHING), TEXTS, OPTIONS)
    walks = [robot.walk("default", seed) for seed in range(300)]
    assert [walked.failure for walked in walks if walked.failure] == []
    visited = {element for walked in walks for _, element in walked.visited}
    assert set(course_of(EVERYTHING).elements) - visited == {"Ex1_section"}


def test_a_walk_is_repeated_by_its_seed() -> None:
    courses = courses_of(EVERYTHING)
    first = [Robot(courses, TEXTS, OPTIONS).walk("default", seed) for seed in range(10)]
    assert [Robot(courses, TEXTS, OPTIONS).walk("default", seed) for seed in range(10)] == first
    assert len({walked.steps for walked in first}) > 1


@pytest.mark.parametrize("folder", ["lighthouse", "samovar", "school"])
def test_the_example_courses(folder: str) -> None:
    assert failures(Library(ROOT / "scripts", folder).courses, 40) == []


@pytest.mark.skipif(not (REAL / "courses.yml").exists(), reason=REASON)
def test_the_courses_of_the_old_program() -> None:
    assert failures(Library(REAL, "").courses, 30) == []


def test_an_authors_circle_is_not_the_engines_fault() -> None:
    """``app.course.graph`` warns about it; learners always have a button there."""
    assert failures(courses_of("a: {type: jump, text: hi, options: [{text: x, goto: a}]}"), 20) == []


def test_a_bot_without_a_page_for_mini_apps() -> None:
    assert failures(courses_of(EVERYTHING), 50, options=DEFAULT_OPTIONS) == []


# --- engines with a defect -------------------------------------------------------------------------------------------


def raises(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options) -> Step:
    """Fail at every vote."""
    if isinstance(event, PollAnswered):
        raise ValueError("no votes today")
    return step(courses, chat, event, texts, options)


def without(*kinds: type) -> Engine:
    """Return an engine that forgets to do something."""

    def engine(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options) -> Step:
        chat, actions, _ = step(courses, chat, event, texts, options)
        return Step(chat, tuple(action for action in actions if not isinstance(action, kinds)))

    return engine


def deaf(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options) -> Step:
    """Ignore every press."""
    return Step(chat) if isinstance(event, ButtonPressed) else step(courses, chat, event, texts, options)


def forgetful(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options) -> Step:
    """Keep something in the state that does not come back from the store."""
    chat, actions, _ = step(courses, chat, event, texts, options)
    runs = {key: replace(run, body={**run.body, "secret": (1,)}) for key, run in chat.runs.items()}
    return Step(replace(chat, runs=runs), actions)


def silent(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options) -> Step:
    """Send empty texts in answer to texts."""
    chat, actions, _ = step(courses, chat, event, texts, options)
    blank = isinstance(event, TextReceived)
    return Step(chat, tuple(replace(a, text="") if isinstance(a, SendText) and blank else a for a in actions))


BUTTON = "a: {type: message, text: hi, button: go}\n"
STUCK = "the learner is stuck: no button, no poll, no question and no timer leads on"


@pytest.mark.parametrize(
    ("course", "engine", "text"),
    [
        (
            "a: {type: question, text: hi, answers: [a, b]}",
            raises,
            "the engine fails with ValueError: no votes today",
        ),
        (BUTTON, without(SendText), STUCK),
        ("a: {type: question, text: hi, answers: [a, b]}", without(SendPoll), STUCK),
        ("a: {type: delay, text: hi, wait: 1d, goto: b}\nb: {type: end}", without(StartTimer), STUCK),
        ("a: {type: miniapp, text: a, button: b, question: {text: q, options: [x, y]}}", without(SendText), STUCK),
        (BUTTON, deaf, "the course does not come to its end, although an end can be reached from here"),
        (
            "a: {type: dialog, text: hi, prompt: talk}",
            without(StartJob),
            "the course does not come to its end, although an end can be reached from here",
        ),
        (BUTTON, forgetful, "the chat is another one after it was stored"),
        (BUTTON, silent, "Telegram would refuse an empty text"),
    ],
)
def test_defects_are_found(course: str, engine: Engine, text: str) -> None:
    assert failures(courses_of(course), 20) == []
    found = failures(courses_of(course), 20, engine)
    assert {(failure.course_id, failure.element_id) for failure in found} == {("default", "a")}
    assert text in {failure.text for failure in found}


def test_a_failure_says_how_it_came_about() -> None:
    robot = Robot(courses_of("a: {type: question, text: Which?, answers: [x, y]}"), TEXTS, OPTIONS, raises)
    walks = [robot.walk("default", seed) for seed in range(30)]
    direct = next(walked.failure for walked in walks if walked.steps == 2)
    assert direct is not None
    assert direct.path in ("/start, vote 1 in 'Which?'", "/start, vote 2 in 'Which?'")
    assert Failure("a", "b", "c", ("/start", *["x"] * 3, *"abcdefghijkl")).path == "(4 steps), " + ", ".join(
        "abcdefghijkl"
    )
    assert Failure("a", "b", "c", ("/start", "x", "x", "y")).path == "/start, x (2 times), y"


def test_rows_tell_what_was_visited() -> None:
    robot = Robot(courses_of(BUTTON), TEXTS, OPTIONS, without(RecordRow))
    assert robot.walk("default", 1).visited == Walked(0, frozenset()).visited


# --- what Telegram takes ---------------------------------------------------------------------------------------------


def refused(action: object) -> list[str]:
    return list(Phone().show(action))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "action",
    [
        SendText("hi", buttons=(Button("go", "x" * 64),)),
        SendText("x" * 10_000),
        SendText("hi", buttons=(Button("go", "", "https://example.org"),)),
        SendPoll(1, 1, "q" * 300, ("a" * 100, "b")),
        SendMedia(("https://example.org/a.jpg",), MediaKind.PHOTO, "c" * 1024),
        AnswerPress("1", "x" * 200),
    ],
)
def test_what_telegram_takes(action: object) -> None:
    assert refused(action) == []


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (SendText(" \n"), "an empty text"),
        (SendText("hi", buttons=(Button("go", "ж" * 33),)), "a button with 66 bytes of data, Telegram takes 1 to 64"),
        (SendText("hi", buttons=(Button(" ", "x"),)), "a button without a text"),
        (
            SendText("hi", buttons=(Button("go", "", "example.org"),)),
            "a button with the address 'example.org', which is no link",
        ),
        (
            SendText("hi", buttons=(Button("go", "x"),) * 101),
            "101 buttons under one message, Telegram takes 100",
        ),
        (SendPoll(1, 1, "q" * 301, ("a", "b")), "a poll with a question of 301 characters"),
        (SendPoll(1, 1, "q", ("a",)), "a poll with 1 answers"),
        (SendPoll(1, 1, "q", ("a", "b" * 101)), "a poll with an answer that is empty or too long"),
        (SendPoll(1, 1, "q", ("a", "a")), "a poll with two equal answers"),
        (SendPoll(1, 1, "q", ("a", "b"), 2), "a quiz whose right answer is number 3"),
        (SendMedia((), MediaKind.PHOTO), "media without a link"),
        (
            SendMedia(("https://example.org/a",), MediaKind.PHOTO, "c" * 1025),
            "a caption of more than 1024 characters",
        ),
        (AnswerPress("1", "x" * 201), "a notice of 201 characters, Telegram takes 200"),
    ],
)
def test_what_telegram_refuses(action: object, complaint: str) -> None:
    assert refused(action) == [complaint]


def test_nothing_to_speak() -> None:
    from app.course.element import Speech

    assert refused(SendSpeech(" ", "hi", None, Speech())) == ["there is nothing to speak"]
