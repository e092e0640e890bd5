"""What each element shows: tables of (element, actions)."""

import pytest

from app.config.options import DEFAULT_OPTIONS
from app.course.course import Courses
from app.course.element import (
    AnyElement,
    Audio,
    Choice,
    Delay,
    Dialog,
    End,
    Input,
    Jump,
    Message,
    MiniApp,
    MultiChoice,
    Option,
    ParseMode,
    Question,
    Quiz,
    Revision,
    Section,
)
from app.course.element import Test as Result
from app.engine.action import Action, Button, MediaKind, RecordRow, Role, SendMedia, SendPoll, SendText
from app.engine.scene import Scene
from app.engine.screen import Awaited, awaited, show
from app.engine.state import Chat, Run
from app.texts import texts_for

TEXTS = texts_for("en")
MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML
GO, BACK = Choice("Go"), Choice("Back", goto="A")
GO_BUTTON, BACK_BUTTON = Button("Go", "c:12:3:0"), Button("Back", "c:12:3:1")
CAT, DOG = Option("cat"), Option("dog")


def shown(element: AnyElement) -> list[Action]:
    run = Run(12, "spring", element.id, 3, element.body)
    return list(show(element, run, Scene(Courses(), Chat(), TEXTS, DEFAULT_OPTIONS)))


def row(kind: str, report: str) -> RecordRow:
    return RecordRow(12, "spring", "E", kind, Role.BOT, report, body={"type": kind})


def message(**fields: object) -> Message:
    return Message("E", {"type": "message"}, text="Hi", **fields)


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        pytest.param(message(), [SendText("Hi", MARKDOWN), row("message", "Hi")], id="plain"),
        pytest.param(message(parse_mode=HTML), [SendText("Hi", HTML), row("message", "Hi")], id="html"),
        pytest.param(
            message(media=("u1", "u2")),
            [SendMedia(("u1", "u2"), MediaKind.PHOTO), SendText("Hi", MARKDOWN), row("message", "Hi")],
            id="media first",
        ),
        pytest.param(
            message(choices=(GO, BACK)),
            [SendText("Hi", MARKDOWN, False, (GO_BUTTON, BACK_BUTTON)), row("message", "Hi")],
            id="d35 options are buttons",
        ),
    ],
)
def test_message(element: Message, expected: list[Action]) -> None:
    assert shown(element) == expected


@pytest.mark.parametrize(
    ("link_preview", "without_button", "with_button"),
    [(None, None, False), (True, True, True), (False, False, False)],
)
def test_link_preview_of_a_message(link_preview: bool | None, without_button: bool | None, with_button: bool) -> None:
    assert shown(message(link_preview=link_preview))[0] == SendText("Hi", MARKDOWN, without_button)
    pressable = message(link_preview=link_preview, choices=(GO,))
    assert shown(pressable)[0] == SendText("Hi", MARKDOWN, with_button, (GO_BUTTON,))


def audio(text: str = "", **fields: object) -> Audio:
    return Audio("E", {"type": "audio"}, media=("u1", "u2"), text=text, **fields)


FILES = ("u1", "u2")


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        pytest.param(
            audio(),
            [SendMedia(FILES, MediaKind.AUDIO, "", MARKDOWN), row("audio", "Audio files: 2")],
            id="without text",
        ),
        pytest.param(
            audio("Listen", parse_mode=HTML),
            [SendMedia(FILES, MediaKind.AUDIO, "Listen", HTML), row("audio", "Listen")],
            id="d41 one caption",
        ),
        pytest.param(
            audio("x" * 1024, link_preview=True),
            [SendMedia(FILES, MediaKind.AUDIO, "x" * 1024, MARKDOWN), row("audio", "x" * 1024)],
            id="longest caption",
        ),
        pytest.param(
            audio("x" * 1025),
            [
                SendText("x" * 1025, MARKDOWN, link_preview=False),
                SendMedia(FILES, MediaKind.AUDIO),
                row("audio", "x" * 1025),
            ],
            id="too long for a caption",
        ),
        pytest.param(
            audio("😀" * 513),
            [
                SendText("😀" * 513, MARKDOWN, link_preview=False),
                SendMedia(FILES, MediaKind.AUDIO),
                row("audio", "😀" * 513),
            ],
            id="too long in UTF-16",
        ),
        pytest.param(
            audio("Listen", link_preview=False),
            [
                SendText("Listen", MARKDOWN, link_preview=False),
                SendMedia(FILES, MediaKind.AUDIO),
                row("audio", "Listen"),
            ],
            id="text before the files",
        ),
    ],
)
def test_audio(element: Audio, expected: list[Action]) -> None:
    assert shown(element) == expected


def quiz(
    text: str = "Which?", options: tuple[Option, ...] = (CAT, Option("dog", correct=True)), **fields: object
) -> Quiz:
    return Quiz("E", {"type": "quiz"}, text=text, options=options, **fields)


ANIMALS = ("cat", "dog")


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        pytest.param(quiz(), [SendPoll(12, 3, "Which?", ANIMALS, correct_option=1), row("quiz", "Which?")], id="quiz"),
        pytest.param(
            quiz(media=("u",)),
            [
                SendMedia(("u",), MediaKind.PHOTO),
                SendPoll(12, 3, "Which?", ANIMALS, correct_option=1),
                row("quiz", "Which?"),
            ],
            id="media first",
        ),
        pytest.param(
            quiz(options=(Option("a", correct=True), Option("b", correct=True), Option("c"))),
            [SendPoll(12, 3, "Which?", ("a", "b", "c"), correct_option=1), row("quiz", "Which?")],
            id="d15 the last correct option is shown as right",
        ),
        pytest.param(
            quiz(options=(CAT, DOG)),
            [SendPoll(12, 3, "Which?", ANIMALS), row("quiz", "Which?")],
            id="an old snapshot without a correct option",
        ),
        pytest.param(
            Question("E", {"type": "question"}, text="Which?", options=(CAT, DOG)),
            [SendPoll(12, 3, "Which?", ANIMALS), row("question", "Which?")],
            id="question",
        ),
        pytest.param(
            MultiChoice("E", {"type": "multi_choice"}, text="Which?", options=(CAT, DOG)),
            [SendPoll(12, 3, "Which?", ANIMALS, allows_multiple_answers=True), row("multi_choice", "Which?")],
            id="multi_choice",
        ),
    ],
)
def test_poll(element: AnyElement, expected: list[Action]) -> None:
    assert shown(element) == expected


def test_d42_long_question_is_shown_in_full_before_the_poll() -> None:
    long = "x" * 301
    assert shown(quiz(long, parse_mode=HTML)) == [
        SendText(long, HTML),
        SendPoll(12, 3, "x" * 297 + "...", ANIMALS, correct_option=1),
        row("quiz", long),
    ]
    assert shown(quiz("x" * 300))[0] == SendPoll(12, 3, "x" * 300, ANIMALS, correct_option=1)


def test_d42_long_option_is_cut() -> None:
    options = (Option("x" * 100), Option("y" * 101, correct=True))
    assert shown(quiz(options=options))[0] == SendPoll(12, 3, "Which?", ("x" * 100, "y" * 97 + "..."), correct_option=1)


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        pytest.param(
            Input("E", {"type": "input"}, text="Name?"),
            [SendText("Name?", MARKDOWN), row("input", "Name?")],
            id="input",
        ),
        pytest.param(
            Input("E", {"type": "input"}, text="Name?", parse_mode=HTML),
            [SendText("Name?", HTML), row("input", "Name?")],
            id="d35 parse mode of an input",
        ),
        pytest.param(
            Jump("E", {"type": "jump"}, text="Where?", choices=(GO, BACK)),
            [SendText("Where?", MARKDOWN, buttons=(GO_BUTTON, BACK_BUTTON)), row("jump", "Where?")],
            id="jump",
        ),
        pytest.param(
            End("E", {"type": "end"}, text="Bye", parse_mode=HTML, link_preview=False),
            [SendText("Bye", HTML, False), row("end", "Bye")],
            id="end",
        ),
        pytest.param(End("E", {"type": "end"}), [row("end", "Course ended")], id="silent end"),
        pytest.param(Section("E", {"type": "section"}, title="One"), [], id="d13 section"),
    ],
)
def test_other_elements(element: AnyElement, expected: list[Action]) -> None:
    assert shown(element) == expected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (Message("E", {}), Awaited.NOTHING),
        (Message("E", {}, choices=(GO,)), Awaited.PRESS),
        (Audio("E", {}), Awaited.NOTHING),
        (Input("E", {}), Awaited.TEXT),
        (Quiz("E", {}), Awaited.VOTE),
        (Question("E", {}), Awaited.VOTE),
        (MultiChoice("E", {}), Awaited.VOTE),
        (Jump("E", {}, choices=(GO,)), Awaited.PRESS),
        (Jump("E", {}), Awaited.NOTHING),
        (Result("E", {}, choices=(GO,)), Awaited.PRESS),
        (Result("E", {}), Awaited.NOTHING),
        (Revision("E", {}, choices=(GO,)), Awaited.PRESS),
        (Revision("E", {}), Awaited.NOTHING),
        (Delay("E", {}), Awaited.TIME),
        (End("E", {}), Awaited.START),
        (Section("E", {}), Awaited.NOTHING),
        (Dialog("E", {}), Awaited.TEXT),
        (MiniApp("E", {}), Awaited.APP),
    ],
)
def test_what_leads_on(element: AnyElement, expected: Awaited) -> None:
    assert awaited(element) is expected
