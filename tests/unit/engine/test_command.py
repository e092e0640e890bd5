"""The commands beside /start."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.config.options import COMMANDS, Options
from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Choice, Delay, Dialog, End, Input, Message, ParseMode, Section
from app.engine.action import (
    Action,
    AnswerPress,
    Button,
    CancelJobs,
    CancelTimers,
    EndRun,
    RecordRow,
    Role,
    SendText,
    StartRun,
)
from app.engine.command import MENU_BUTTONS, descriptions
from app.engine.event import ButtonPressed, CommandReceived, Event, Learner, StartRequested, TextReceived
from app.engine.navigation import module_of
from app.engine.press import menu_press
from app.engine.start import requested_course
from app.engine.state import Chain, Chat, Offer, Run, Score, Talk
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS, RUSSIAN = texts_for("en"), texts_for("ru")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7, "anna", "en")
MARKDOWN = ParseMode.MARKDOWN


def stop(element_id: str) -> Message:
    body = {"type": "message", "text": element_id, "button": "OK"}
    return Message(element_id, body, text=element_id, choices=(Choice("OK"),))


NAME = Input("Ex1_name", {"type": "input", "text": "Name?"}, text="Name?")
TALK = Dialog("Ex2_talk", {"type": "dialog", "text": "Talk", "prompt": "x"}, text="Talk", prompt="x")
NIGHT = Delay("Ex2_night", {"type": "delay", "wait": "1d", "goto": "End"}, wait=timedelta(days=1), goto="End")
BYE = End("End", {"type": "end"})
SECTION = Section("Part_1", {"type": "section"})
ELEMENTS = (stop("Intro"), SECTION, stop("Ex1_a"), NAME, stop("Ex2_b"), TALK, NIGHT, stop("Ex1_again"), BYE)


def courses_of(*elements: AnyElement, **entry: object) -> Courses:
    return Courses(
        {
            "default": Entry("default", "a.yml", **entry),
            "spring": Entry("spring", "b.yml", title="Spring!", restricted=True, decline_text="*No*"),
            "gone": Entry("gone", "c.yml"),
            "empty": Entry("empty", "d.yml"),
        },
        {
            "default": Course({one.id: one for one in elements}),
            "spring": Course({"Intro": stop("Intro")}),
            "empty": Course({}),
        },
    )


COURSES = courses_of(*ELEMENTS)


def at(element_id: str, **changes: object) -> Run:
    body = next(one.body for one in ELEMENTS if one.id == element_id)
    return replace(Run(12, "default", element_id, 3, body), **changes)


def chat_with(*runs: Run, offer: Offer | None = None) -> Chat:
    return Chat({run.course_id: run for run in runs}, runs[-1].course_id, offer)


def command(name: str, arguments: str = "", run_id: int = 0, **fields: object) -> CommandReceived:
    return CommandReceived(ANNA, AT, name, arguments, run_id, **fields)


def row(run: Run, role: Role, report: str) -> RecordRow:
    kind = str(run.body["type"])
    body = None if run.talk else run.body
    return RecordRow(run.run_id, run.course_id, run.element_id, kind, role, report, body=body)


def shown(run: Run) -> tuple[Action, ...]:
    """Return what one of the messages with a button shows."""
    button = Button("OK", f"c:{run.run_id}:{run.step}:0")
    return (SendText(run.element_id, MARKDOWN, False, (button,)), row(run, Role.BOT, run.element_id))


# --- which commands there are ---------------------------------------------------------------------------------------


def test_descriptions() -> None:
    assert [name for name, _ in descriptions(TEXTS, Options())] == ["menu", "restart", "next", "back", "help"]
    assert descriptions(RUSSIAN, Options(commands=frozenset({"help", "menu"}))) == [
        ("menu", RUSSIAN.command_menu),
        ("help", RUSSIAN.command_help),
    ]


def test_help() -> None:
    options = Options(commands=frozenset({"help", "next"}))
    told = f"{TEXTS.help}\n\n/next – {TEXTS.command_next}\n/help – {TEXTS.command_help}"
    assert step(COURSES, Chat(), command("help"), TEXTS, options) == Step(Chat(), (SendText(told),))


@pytest.mark.parametrize("name", ["dance", "test", "go", "create", "{name}", ""])
@pytest.mark.parametrize("chat", [Chat(), chat_with(at("Ex1_name")), chat_with(at("Ex2_talk", talk=Talk()))])
def test_d11_unknown_commands_are_never_answers(chat: Chat, name: str) -> None:
    told = SendText(f"Sorry, I do not know the command /{name}.")
    assert step(COURSES, chat, command(name), TEXTS) == Step(chat, (told,), is_unused=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_d11_commands_that_are_switched_off_are_unknown(name: str) -> None:
    chat, options = chat_with(at("Ex1_name")), Options(commands=frozenset(COMMANDS) - {name})
    told = SendText(f"Sorry, I do not know the command /{name}.")
    assert step(COURSES, chat, command(name, run_id=50), TEXTS, options) == Step(chat, (told,), is_unused=True)


@pytest.mark.parametrize("name", ["next", "back", "restart"])
def test_commands_before_the_first_start(name: str) -> None:
    assert step(COURSES, Chat(), command(name, run_id=50), TEXTS) == Step(Chat(), (SendText(TEXTS.no_run),))


# --- /restart -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "ended"),
    [
        pytest.param(at("Ex1_name", scores={"Ex1_name": Score(1, 1)}), (EndRun(12),), id="unfinished"),
        pytest.param(at("End", is_ended=True), (), id="finished"),
        pytest.param(at("Ex2_night", is_waiting=True), (CancelTimers(12), EndRun(12)), id="waiting"),
        pytest.param(at("Ex2_talk", talk=Talk(1, is_busy=True)), (CancelJobs(12), EndRun(12)), id="talking"),
    ],
)
def test_restart_asks_nothing(run: Run, ended: tuple[Action, ...]) -> None:
    fresh = at("Intro", run_id=50, step=1)
    assert step(COURSES, chat_with(run), command("restart", run_id=50), TEXTS) == Step(
        chat_with(fresh), (row(run, Role.USER, "/restart"), *ended, StartRun(50, "default"), *shown(fresh))
    )


@pytest.mark.parametrize("event", [command("restart", run_id=50), ButtonPressed(ANNA, AT, "cb", "s:12:3", 900, 50)])
def test_d28_restart_of_a_course_that_is_closed_to_the_learner_by_now(event: Event) -> None:
    courses = courses_of(*ELEMENTS, restricted=True)
    chat = chat_with(at("Ex1_name"))
    assert step(courses, chat, event, TEXTS).chat == chat
    admitted = step(courses, chat, replace(event, is_participant=True), TEXTS)
    assert StartRun(50, "default") in admitted.actions


def test_d14_restart_while_the_course_cannot_be_loaded() -> None:
    chat = chat_with(Run(12, "gone", "X", 3, {"type": "input", "text": "?"}))
    told = (SendText(TEXTS.course_unavailable),)
    assert step(COURSES, chat, command("restart", run_id=50), TEXTS) == Step(chat, told)


# --- /menu ----------------------------------------------------------------------------------------------------------

DEFAULT, SPRING = Button("default", menu_press("default").data), Button("Spring!", menu_press("spring").data)


@pytest.mark.parametrize(
    ("chat", "buttons"),
    [
        pytest.param(Chat(), (DEFAULT,), id="what anybody may start"),
        pytest.param(chat_with(Run(9, "spring", "Intro", 1, {})), (DEFAULT, SPRING), id="and what was begun"),
    ],
)
def test_menu(chat: Chat, buttons: tuple[Button, ...]) -> None:
    assert step(COURSES, chat, command("menu"), TEXTS) == Step(chat, (SendText(TEXTS.menu, buttons=buttons),))


def test_menu_without_courses() -> None:
    assert step(Courses(), Chat(), command("menu"), TEXTS).actions == (SendText(TEXTS.menu_empty),)


def test_long_menu() -> None:
    names = [f"course {'я' * 50} {number}" for number in range(MENU_BUTTONS + 1)]
    courses = Courses(
        {name: Entry(name, "a.yml") for name in names}, dict.fromkeys(names, Course({"Intro": stop("Intro")}))
    )
    sent = step(courses, Chat(), command("menu"), TEXTS).actions
    assert [len(one.buttons) for one in sent if isinstance(one, SendText)] == [MENU_BUTTONS, 1]


def press(course_id: str, run_id: int = 50, **fields: object) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "cb", menu_press(course_id).data, 900, run_id, **fields)


def test_menu_starts_a_course_as_start_does() -> None:
    started = step(COURSES, Chat(), StartRequested(ANNA, AT, "", 50), TEXTS)
    assert step(COURSES, Chat(), press("default"), TEXTS) == Step(started.chat, (AnswerPress("cb"), *started.actions))


def test_menu_offers_to_go_on() -> None:
    chat = chat_with(at("Ex1_name"), Run(9, "spring", "Intro", 1, {}))
    pressed = step(COURSES, chat, press("default"), TEXTS)
    assert pressed.chat == replace(chat, offer=Offer("default"))
    assert [type(action) for action in pressed.actions] == [AnswerPress, SendText]


def test_d28_menu_of_a_restricted_course() -> None:
    assert step(COURSES, Chat(), press("spring"), TEXTS).actions == (AnswerPress("cb"), SendText("*No*", MARKDOWN))
    assert StartRun(50, "spring") in step(COURSES, Chat(), press("spring", is_participant=True), TEXTS).actions


def test_d6_menu_of_a_course_that_is_not_in_the_list_any_more() -> None:
    stale = (AnswerPress("cb", TEXTS.stale_button),)
    assert step(COURSES, Chat(), press("autumn"), TEXTS) == Step(Chat(), stale)


@pytest.mark.parametrize(
    ("event", "course_id"),
    [
        (StartRequested(ANNA, AT, "spring__utmsIItg"), "spring"),
        (StartRequested(ANNA, AT, "autumn"), "autumn"),
        (command("restart"), "default"),
        (command("menu"), None),
        (command("go", "spring"), None),
        (press("spring"), "spring"),
        (press("autumn"), None),
        (ButtonPressed(ANNA, AT, "cb", "s:12:3", 900), "default"),
        (ButtonPressed(ANNA, AT, "cb", "s:12:2", 900), None),
        (ButtonPressed(ANNA, AT, "cb", "r:12:3", 900), None),
        (TextReceived(ANNA, AT, "spring"), None),
    ],
)
def test_d28_which_course_an_event_asks_for(event: Event, course_id: str | None) -> None:
    assert requested_course(event, COURSES, chat_with(at("Ex1_name"))) == course_id


# --- /go ------------------------------------------------------------------------------------------------------------

ADMIN = Options(commands=frozenset(), admins=frozenset({7}))


def test_d30_go_is_for_admins() -> None:
    event = command("go", "default", run_id=50)
    for options in (Options(), Options(admins=frozenset({8}))):
        assert step(COURSES, Chat(), event, TEXTS, options).actions == (
            SendText("Sorry, I do not know the command /go."),
        )


@pytest.mark.parametrize(
    ("arguments", "course_id", "element_id"),
    [("default", "default", "Intro"), ("default  Ex2_b", "default", "Ex2_b"), ("spring", "spring", "Intro")],
)
def test_d30_go(arguments: str, course_id: str, element_id: str) -> None:
    fresh = at(element_id, run_id=50, step=1, course_id=course_id)
    chat = chat_with(at("Ex1_name"))
    after = step(COURSES, chat, command("go", arguments, run_id=50), TEXTS, ADMIN)
    assert after.chat == Chat(chat.runs | {course_id: fresh}, course_id)
    assert after.actions[-3:] == (StartRun(50, course_id), *shown(fresh))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "Send: /go COURSE ELEMENT (the element may be left out). Courses: default, spring, empty"),
        ("autumn", "Send: /go COURSE ELEMENT (the element may be left out). Courses: default, spring, empty"),
        ("default Ex9", "There is no element Ex9 in the course default."),
        ("empty", "There is no element - in the course empty."),
    ],
)
def test_d30_go_nowhere(arguments: str, told: str) -> None:
    event = command("go", arguments, run_id=50)
    assert step(COURSES, Chat(), event, TEXTS, ADMIN) == Step(Chat(), (SendText(told),))


# --- /next, /back and the old keywords ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "run", "target", "cancelled"),
    [
        pytest.param("next", at("Intro"), "Ex1_a", (), id="next, over a divider"),
        pytest.param("next", at("Ex1_name"), "Ex2_b", (), id="next, from an input"),
        pytest.param("back", at("Ex2_b"), "Ex1_a", (), id="back"),
        pytest.param("back", at("Ex1_name"), "Intro", (), id="d32 back to a module of one element"),
        pytest.param("back", at("Ex1_again"), "Intro", (), id="a module that is spread"),
        pytest.param("back", at("Ex2_night", is_waiting=True), "Ex1_a", (CancelTimers(12),), id="while waiting"),
        pytest.param(
            "back", at("Ex2_talk", talk=Talk(1, is_busy=True)), "Ex1_a", (CancelJobs(12),), id="while talking"
        ),
        pytest.param(
            "next", at("Ex2_b", chain=Chain("Intro", ("Ex1_a",))), "Ex1_a", (), id="from the place of a revision"
        ),
    ],
)
def test_d32_commands_move_between_modules(name: str, run: Run, target: str, cancelled: tuple[Action, ...]) -> None:
    there = at(target, step=4)
    assert step(COURSES, chat_with(run), command(name), TEXTS) == Step(
        chat_with(there), (row(run, Role.USER, f"/{name}"), *cancelled, *shown(there))
    )


@pytest.mark.parametrize(
    ("element_id", "module"), [("Ex2_quiz_1", "Ex2"), ("Ex2", "Ex2"), ("Intro", "Intro"), ("_1", "_1")]
)
def test_d32_a_module_is_what_stands_before_the_first_underscore(element_id: str, module: str) -> None:
    assert module_of(element_id) == module


@pytest.mark.parametrize(("name", "element_id"), [("back", "Intro"), ("next", "End")])
def test_d32_there_is_nothing_beyond_the_first_and_the_last_module(name: str, element_id: str) -> None:
    chat = chat_with(at(element_id))
    told = {"back": TEXTS.first_module, "next": TEXTS.last_module}[name]
    assert step(COURSES, chat, command(name), TEXTS) == Step(chat, (SendText(told),))


def test_moving_from_an_element_that_has_gone() -> None:
    after = step(courses_of(stop("Intro")), chat_with(at("Ex2_night", is_waiting=True)), command("next"), TEXTS)
    assert after.chat == chat_with(at("Ex2_night", is_ended=True))
    assert after.actions[1:3] == (CancelTimers(12), EndRun(12))


def test_moving_after_the_end() -> None:
    chat = chat_with(at("End", is_ended=True))
    restart = Button(TEXTS.restart_button, "s:12:3")
    assert step(COURSES, chat, command("next"), TEXTS).actions == (SendText(TEXTS.course_finished, buttons=(restart,)),)


OLD = Options(has_keywords=True)


@pytest.mark.parametrize(
    ("said", "target", "acknowledgement"),
    [
        ("Назад", "Ex1_a", RUSSIAN.moved_back),
        ("previous!", "Ex1_a", TEXTS.moved_back),
        ("go back please", "Ex1_a", TEXTS.moved_back),
        ("начать заново", "Ex2_b", RUSSIAN.moved_to_start),
        ("restart", "Ex2_b", TEXTS.moved_to_start),
        ("дальше", "End", RUSSIAN.moved_next),
        ("NEXT", "End", TEXTS.moved_next),
    ],
)
def test_keywords(said: str, target: str, acknowledgement: str) -> None:
    run = at("Ex2_night", is_waiting=True)
    after = step(COURSES, chat_with(run), TextReceived(ANNA, AT, said), TEXTS, OLD)
    assert after.actions[:2] == (row(run, Role.USER, said), SendText(acknowledgement))
    assert after.chat.run is not None
    assert after.chat.run.element_id == target


@pytest.mark.parametrize(
    ("run", "said", "options"),
    [
        pytest.param(at("Ex2_b"), "next", Options(), id="switched off"),
        pytest.param(at("Ex2_b"), "the context", OLD, id="part of a word"),
        pytest.param(at("Ex2_b"), "What do I have to do next", OLD, id="a sentence"),
        pytest.param(at("Ex2_b"), "back or next", OLD, id="two directions"),
        pytest.param(at("Ex1_name"), "next", OLD, id="an answer"),
        pytest.param(at("Ex2_talk", talk=Talk()), "next", OLD, id="a conversation"),
        pytest.param(at("End", is_ended=True), "next", OLD, id="after the end"),
    ],
)
def test_d31_ordinary_sentences_move_nothing(run: Run, said: str, options: Options) -> None:
    after = step(COURSES, chat_with(run), TextReceived(ANNA, AT, said), TEXTS, options)
    moved = [TEXTS.moved_back, TEXTS.moved_next, TEXTS.moved_to_start]
    assert not [action for action in after.actions if isinstance(action, SendText) and action.text in moved]
    standing = after.chat.run
    assert standing is not None
    assert standing.element_id == (run.element_id if run.element_id != "Ex1_name" else "Ex2_b")


def test_d31_the_hint_names_the_keywords() -> None:
    after = step(COURSES, chat_with(at("Ex2_b")), TextReceived(ANNA, AT, "hello"), TEXTS, OLD)
    assert after.actions == (SendText(f"{TEXTS.press_button}\n\n{TEXTS.keyword_hint}"),)
