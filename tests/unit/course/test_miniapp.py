"""Mini apps, from text to value."""

from dataclasses import replace

import pytest

from app.course.element import Form, MiniApp, ParseMode
from app.course.grammar import element_of
from app.course.loader import load_course
from app.course.miniapp import placeholders

CHOICE = MiniApp("x", {}, text="hi", button="Go", question="q?", options=("a", "b"))
TYPEIN = MiniApp("x", {}, text="hi", button="Go", form=Form.TYPEIN, question="I {q1} he {q2}")
ASK = "question: {text: 'q?', options: [{text: a}, b]}"
FILL = "question: {type: typein, text: 'I {q1} he {q2}'}"


def load(fields: str) -> tuple[MiniApp, list[str]]:
    """Load a mini app with these fields; its problems as ``SEVERITY: WHERE: TEXT``."""
    course, problems = load_course(f"x: {{type: miniapp, text: hi, button: Go, {fields}}}", "scripts/a.yml")
    element = course.elements["x"]
    assert isinstance(element, MiniApp)
    return replace(element, body={}), [str(replace(problem, file=problem.severity, line=0)) for problem in problems]


LOADED = [
    (ASK, CHOICE),
    (f"{ASK}, parse_mode: HTML", replace(CHOICE, parse_mode=ParseMode.HTML)),
    (f"{ASK}, app_url: ' https://example.org/app '", replace(CHOICE, app_url="https://example.org/app")),
    (f"{ASK}, app_url: ", CHOICE),
    (f"{ASK}, answer: ", CHOICE),
    (f"{ASK}, answer: {{actual: b}}", replace(CHOICE, correct_answer="b")),
    (f"{ASK}, answer: b", replace(CHOICE, correct_answer="b")),
    (
        f"{ASK}, answer: {{actual: a, correct_feedback: Yes, incorrect_feedback: No}}",
        replace(CHOICE, correct_answer="a", feedback_correct="Yes", feedback_incorrect="No"),
    ),
    (f"{ASK}, answer: {{correct_feedback: Thanks}}", replace(CHOICE, feedback_correct="Thanks")),
    ("question: {text: 1, options: [2, 2020-01-01]}, answer: {actual: 2}",
     replace(CHOICE, question="1", options=("2", "2020-01-01"), correct_answer="2")),
    (FILL, TYPEIN),
    (f"{FILL}, answer: {{actual: 'q1: am, q2: is'}}", replace(TYPEIN, correct_answer="q1: am, q2: is")),
    (f"{FILL}, answer: {{actual: 'q2: is, or was, q1: am'}}", replace(TYPEIN, correct_answer="q2: is, or was, q1: am")),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), LOADED)
def test_loaded(fields: str, expected: MiniApp) -> None:
    assert load(fields) == (expected, [])


@pytest.mark.parametrize(("fields", "expected"), LOADED)
def test_the_snapshot_is_read_back_as_the_same_element(fields: str, expected: MiniApp) -> None:
    course, _ = load_course(f"x: {{type: miniapp, text: hi, button: Go, {fields}}}", "scripts/a.yml")
    element = element_of("x", course.elements["x"].body)
    assert isinstance(element, MiniApp)
    assert replace(element, body={}) == expected


PROBLEMS = [
    ("answer: a", "error: x: 'question' is missing; add for example 'question: {type: typein, text: ...}'"),
    ("question: [a]", "error: x/question: must be a mapping, not a list; write 'text: ...' below it"),
    ("question: {text: t}", "error: x/question: 'options' is missing or empty; add '- text: ...'"),
    ("question: {text: t, options: []}", "error: x/question/options: 'options' is missing or empty; "
     "add '- text: ...'"),
    ("question: {options: [a]}", "error: x/question: 'text' is missing or empty; add 'text: ...'"),
    ("question: {text: t, options: [{txt: a}, b]}", "error: x/question/options/1: 'text' is missing or empty; "
     "add 'text: ...'"),
    ("question: {type: typin, text: t, options: [a]}", "warning: x/question/type: 'typin' is not known, "
     "'multiple_choice' is used; did you mean 'typein'?"),
    ("question: {type: typein, text: t}", "warning: x/question/text: has no field to fill in; "
     "write {q1} where one goes"),
    ("question: {type: typein, text: '{q1}', options: [a]}", "warning: x/question/options: has no effect with "
     "'type: typein'; use 'type: multiple_choice'"),
    (f"{ASK}, app_url: example.org", "warning: x/app_url: 'example.org' is not a link, the page of the bot is used; "
     "write a URL that begins with https://, or remove it"),
    (f"{ASK}, answer: {{actual: c}}", "warning: x/answer/actual: 'c' is none of the options, so that every answer is "
     "wrong; write one of the options"),
    (f"{ASK}, answer: {{incorrect_feedback: No}}", "warning: x/answer/incorrect_feedback: has no effect without "
     "'actual'; add 'actual'"),
    (f"{ASK}, answer: [a]", "error: x/answer: must be a mapping, not a list; write 'actual: ...' below it"),
    (f"{FILL}, answer: am", "warning: x/answer/actual: names the fields none, the question has q1, q2; "
     "write 'NAME: VALUE' for each of them, with ', ' between"),
    (f"{FILL}, answer: 'q1: am'", "warning: x/answer/actual: names the fields q1, the question has q1, q2; "
     "write 'NAME: VALUE' for each of them, with ', ' between"),
    (f"{ASK}, answer: {{actual: a, right: b}}", "warning: x/answer/right: unknown key; check its spelling and "
     "indentation"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "problem"), PROBLEMS)
def test_problems(fields: str, problem: str) -> None:
    assert problem in load(fields)[1]


@pytest.mark.parametrize("key", ["text", "button"])
def test_text_and_button_are_required(key: str) -> None:
    fields = {"text": "hi", "button": "Go"}
    del fields[key]
    written = ", ".join(f"{name}: {text}" for name, text in fields.items())
    _, problems = load_course(f"x: {{type: miniapp, {written}, {ASK}}}", "scripts/a.yml")
    assert [str(problem) for problem in problems] == [
        f"scripts/a.yml:1:1: x: {key!r} is missing or empty; add '{key}: ...'"
    ]


def test_placeholders() -> None:
    assert placeholders("<p>{q1} {q2}</p> {q1} { q3 } {}") == ("q1", "q2")
