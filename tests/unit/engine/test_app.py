"""Mini apps: their links, and what answers are worth."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.config.options import Options
from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Form, Input, MiniApp, ParseMode
from app.course.element import Test as Result
from app.engine.action import Action, AnswerPress, Button, RecordRow, RemoveButtons, Role, SendText, StartRun
from app.engine.app import app_link
from app.engine.event import AppAnswered, ButtonPressed, ContentReceived, Event, Learner, StartRequested, TextReceived
from app.engine.state import Chat, Run, Score
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7, "anna", "en")
MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML
PAGE = Options(app_url="https://bots.example.org/app/greek/")

BODY = {
    "type": "miniapp",
    "text": "Open it",
    "button": "Open",
    "question": {"text": "Which?", "options": [{"text": "cat"}]},
    "answer": {"actual": "cat"},
}


def app(**changes: object) -> MiniApp:
    element = MiniApp("App", BODY, text="Open it", button="Open", question="Which?", options=("cat",))
    return replace(element, **{"correct_answer": "cat", **changes})


APP = app()
NAME = Input("Name", {"type": "input", "text": "Name?"}, text="Name?")
STANDING = Run(12, "default", "App", 3, BODY)


def courses_of(*elements: AnyElement) -> Courses:
    return Courses({"default": Entry("default", "a.yml")}, {"default": Course({one.id: one for one in elements})})


def chat_with(run: Run) -> Chat:
    return Chat({run.course_id: run}, run.course_id)


def row(role: Role, report: str, score: float | None = None, **changes: object) -> RecordRow:
    maxscore = None if score is None else 1
    record = RecordRow(12, "default", "App", "miniapp", role, report, score, maxscore, BODY)
    return replace(record, **changes)


def answered(answer: str, step: int = 3, run_id: int = 12) -> AppAnswered:
    return AppAnswered(ANNA, AT, run_id, step, answer)


NEXT = (SendText("Name?", MARKDOWN), RecordRow(12, "default", "Name", "input", Role.BOT, "Name?", body=NAME.body))


def after(score: Score | None) -> Chat:
    return chat_with(Run(12, "default", "Name", 4, NAME.body, scores={"App": score} if score else {}))


# --- showing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app_url", "link"),
    [
        ("https://a.org/app", "https://a.org/app/12000003"),
        ("https://a.org/app/", "https://a.org/app/12000003"),
        ("https://a.org", "https://a.org/12000003"),
        ("https://a.org/app?lang=el", "https://a.org/app/12000003?lang=el"),
        ("https://a.org/app?id=", "https://a.org/app?id=12000003"),
        ("https://a.org/app#top", "https://a.org/app/12000003#top"),
        (None, "https://bots.example.org/app/greek/12000003"),
    ],
)
def test_d43_links(app_url: str | None, link: str) -> None:
    assert app_link(app(app_url=app_url), STANDING, PAGE) == link


def start(options: Options) -> Step:
    return step(courses_of(APP), Chat(), StartRequested(ANNA, AT, "", 50), TEXTS, options)


def test_opening() -> None:
    open_it = Button("Open", "", "https://bots.example.org/app/greek/50000001")
    assert start(PAGE) == Step(
        chat_with(Run(50, "default", "App", 1, BODY)),
        (
            StartRun(50, "default"),
            SendText("Open it", MARKDOWN, buttons=(open_it,)),
            row(Role.BOT, "Open it", run_id=50),
        ),
    )


def test_without_a_page_a_learner_can_go_on() -> None:
    skip = Button(TEXTS.skip_button, "e:50:1")
    assert start(Options()).actions[1:3] == (
        SendText("Open it", MARKDOWN),
        SendText(TEXTS.page_missing, buttons=(skip,)),
    )
    press = ButtonPressed(ANNA, AT, "cb", "e:12:3", 900)
    assert step(courses_of(APP, NAME), chat_with(STANDING), press, TEXTS) == Step(
        after(None), (AnswerPress("cb"), RemoveButtons(900), row(Role.USER, TEXTS.skip_button), *NEXT)
    )


def test_d6_a_page_cannot_be_skipped() -> None:
    press = ButtonPressed(ANNA, AT, "cb", "e:12:3", 900)
    stale = (AnswerPress("cb", TEXTS.stale_button),)
    assert step(courses_of(APP, NAME), chat_with(STANDING), press, TEXTS, PAGE) == Step(chat_with(STANDING), stale)


# --- answering ------------------------------------------------------------------------------------------------------

SPOKEN = {"feedback_correct": "<b>Yes</b>", "feedback_incorrect": "<b>No</b>", "parse_mode": HTML}


@pytest.mark.parametrize(
    ("element", "answer", "points", "told"),
    [
        pytest.param(APP, " cat\n", 1, SendText(TEXTS.app_right), id="right"),
        pytest.param(APP, "dog", 0, SendText(TEXTS.app_wrong), id="wrong"),
        pytest.param(app(**SPOKEN), "cat", 1, SendText("<b>Yes</b>", HTML), id="right with a text"),
        pytest.param(app(**SPOKEN), "dog", 0, SendText("<b>No</b>", HTML), id="wrong with a text"),
        pytest.param(app(correct_answer=None), "dog", None, SendText(TEXTS.app_taken), id="any answer"),
        pytest.param(
            app(correct_answer=None, **SPOKEN), "dog", None, SendText("<b>Yes</b>", HTML), id="any, with a text"
        ),
    ],
)
def test_d43_answers_are_recorded_and_scored(element: MiniApp, answer: str, points: int | None, told: SendText) -> None:
    score = None if points is None else Score(points, 1)
    assert step(courses_of(element, NAME), chat_with(STANDING), answered(answer), TEXTS, PAGE) == Step(
        after(score), (row(Role.USER, answer), told, row(Role.BOT, told.text, points), *NEXT)
    )


FORM = app(form=Form.TYPEIN, question="{q1} and {q2}", correct_answer="q1: a, b, q2: c")


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("q1: a, b, q2: c", 1),
        ("q2: c, q1: a, b", 1),
        (" q2:c ,q1 : a, b ", 1),
        ("q1: a, q2: c", 0),
        ("q1: c, q2: a, b", 0),
        ("q1: a, b", 0),
        ("x q1: a, b, q2: c", 0),
        ("q1: a, b, q2: c, q3: d", 0),
        ("", 0),
    ],
)
def test_d43_the_order_of_typing_does_not_matter(answer: str, points: int) -> None:
    decided = step(courses_of(FORM, NAME), chat_with(STANDING), answered(answer), TEXTS, PAGE)
    assert decided.chat == after(Score(points, 1))


def test_an_app_that_is_repeated_counts_its_attempts() -> None:
    run = replace(STANDING, scores={"App": Score(0, 1)})
    decided = step(courses_of(APP, NAME), chat_with(run), answered("cat"), TEXTS, PAGE)
    assert decided.chat == after(Score(1, 1, attempt=2))
    assert row(Role.BOT, TEXTS.app_right, 1, attempt=2) in decided.actions


def test_d33_a_test_counts_apps() -> None:
    result = Result("Result", {"type": "test"}, text="{score} of {maxscore}", prefix="App")
    decided = step(courses_of(APP, result, NAME), chat_with(STANDING), answered("cat"), TEXTS, PAGE)
    assert SendText("1 of 1\n", MARKDOWN) in decided.actions


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(answered("cat", step=2), id="earlier step"),
        pytest.param(answered("cat", run_id=11), id="another run"),
    ],
)
def test_d7_answers_to_other_apps_change_nothing(event: Event) -> None:
    assert step(courses_of(APP, NAME), chat_with(STANDING), event, TEXTS, PAGE) == Step(chat_with(STANDING))


@pytest.mark.parametrize("run", [replace(STANDING, is_ended=True), Run(12, "default", "Name", 3, NAME.body)])
def test_d7_answers_that_come_too_late_change_nothing(run: Run) -> None:
    assert step(courses_of(APP, NAME), chat_with(run), answered("cat"), TEXTS, PAGE) == Step(chat_with(run))


@pytest.mark.parametrize("event", [TextReceived(ANNA, AT, "cat"), ContentReceived(ANNA, AT, "photo")])
def test_d7_messages_do_not_answer_an_app(event: Event) -> None:
    hint: tuple[Action, ...] = (SendText(TEXTS.press_button),)
    assert step(courses_of(APP, NAME), chat_with(STANDING), event, TEXTS, PAGE) == Step(
        chat_with(STANDING), hint, is_unused=True
    )
