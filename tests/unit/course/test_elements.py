"""Every element type, from text to value."""

import re
from dataclasses import replace
from datetime import timedelta
from textwrap import dedent

import pytest

from app.course.element import (
    AnyElement,
    Audio,
    Choice,
    Delay,
    End,
    Input,
    InputType,
    Jump,
    Message,
    MultiChoice,
    Option,
    ParseMode,
    Question,
    Quiz,
    Revision,
    Section,
    Verdict,
)
from app.course.element import Test as Result
from app.course.grammar import element_of
from app.course.loader import load_course

URL = "https://example.org/a.png"


def load(text: str) -> tuple[dict[str, AnyElement], list[str]]:
    course, problems = load_course(dedent(text), "scripts/a.yml")
    return dict(course.elements), [f"{problem.severity}: {problem}" for problem in problems]


def one(text: str) -> tuple[AnyElement | None, list[str]]:
    """Load an element ``x`` whose fields are given, beside an element ``y`` to go to."""
    elements, problems = load("x:\n" + "".join(f"  {line}\n" for line in dedent(text).strip().splitlines()) + Y)
    return elements.get("x"), problems


Y = "y: {type: end}\nq: {type: input, text: hi, correct_answer: hi}\n"

ELEMENTS: list[tuple[str, AnyElement]] = [
    ("{type: message, text: hi}", Message("x", {}, text="hi")),
    ("{type: message, text: hi, button: ' Go '}", Message("x", {}, text="hi", choices=(Choice("Go"),))),
    (
        "{type: message, text: hi, media: [https://example.org/a.png, https://drive.google.com/open?id=1a]}",
        Message("x", {}, text="hi", media=(URL, "https://drive.usercontent.google.com/download?id=1a")),
    ),
    ("{type: message, text: hi, media: https://example.org/a.png}", Message("x", {}, text="hi", media=(URL,))),
    (
        "{type: message, text: hi, options: [{text: a, goto: y}, {text: b}, c]}",
        Message("x", {}, text="hi", choices=(Choice("a", "y"), Choice("b"), Choice("c"))),
    ),
    (
        "{type: message, text: hi, parse_mode: HTML, link_preview: no}",
        Message("x", {}, text="hi", parse_mode=ParseMode.HTML, link_preview=False),
    ),
    (
        "{type: message, text: hi, button: , media: , parse_mode: , link_preview: , options: }",
        Message("x", {}, text="hi"),
    ),
    ("{type: audio, media: [https://example.org/a.png]}", Audio("x", {}, media=(URL,))),
    (
        "{type: audio, media: [https://example.org/a.png], text: hi, parse_mode: HTML, link_preview: yes}",
        Audio("x", {}, media=(URL,), text="hi", parse_mode=ParseMode.HTML, link_preview=True),
    ),
    ("{type: input, text: hi}", Input("x", {}, text="hi")),
    (
        "{type: input, text: hi, correct_answer: 1 2, input_type: sequence, feedback_correct: a, "
        "feedback_incorrect: b, parse_mode: HTML}",
        Input(
            "x",
            {},
            text="hi",
            correct_answer="1 2",
            input_type=InputType.SEQUENCE,
            feedback_correct="a",
            feedback_incorrect="b",
            parse_mode=ParseMode.HTML,
        ),
    ),
    (
        "{type: quiz, text: hi, media: https://example.org/a.png, answers: [{text: a, feedback: f}, "
        "{text: b, correct: yes}]}",
        Quiz("x", {}, text="hi", options=(Option("a", False, "f"), Option("b", True)), media=(URL,)),
    ),
    (
        "{type: quiz, text: hi, parse_mode: HTML, answers: [a, {text: b, correct: 1}]}",
        Quiz("x", {}, text="hi", options=(Option("a"), Option("b", True)), parse_mode=ParseMode.HTML),
    ),
    (
        "{type: question, text: hi, parse_mode: Markdown, answers: [{text: a, feedback: f}, b]}",
        Question("x", {}, text="hi", options=(Option("a", feedback="f"), Option("b")), parse_mode=ParseMode.MARKDOWN),
    ),
    (
        "{type: multi_choice, text: hi, mark: yes, answers: [{text: a, correct: yes}, b], feedback_correct: c, "
        "feedback_partial: p, feedback_incorrect: i}",
        MultiChoice(
            "x",
            {},
            text="hi",
            options=(Option("a", True), Option("b")),
            feedback_correct="c",
            feedback_partial="p",
            feedback_incorrect="i",
        ),
    ),
    (
        "{type: jump, text: hi, options: [{text: a, goto: y}, {text: b}]}",
        Jump("x", {}, text="hi", choices=(Choice("a", "y"), Choice("b"))),
    ),
    (
        "{type: jump, text: hi, options: [{text: a, wait: '1h:30m', wait_text: later}]}",
        Jump("x", {}, text="hi", choices=(Choice("a", wait=timedelta(minutes=90), wait_text="later"),)),
    ),
    (
        "{type: test, text: hi, prefix: q, score: {9: a, 100: b}, button: ' ok ', parse_mode: HTML}",
        Result(
            "x",
            {},
            text="hi",
            prefix="q",
            verdicts=(Verdict(9, "a"), Verdict(100, "b")),
            choices=(Choice("ok"),),
            parse_mode=ParseMode.HTML,
        ),
    ),
    (
        "{type: revision, text: hi, prefix: q, no_mistakes: none, button: ok, parse_mode: HTML}",
        Revision(
            "x",
            {},
            text="hi",
            prefix="q",
            no_mistakes="none",
            choices=(Choice("ok"),),
            parse_mode=ParseMode.HTML,
        ),
    ),
    ("{type: delay, wait: 1d12h, goto: y}", Delay("x", {}, wait=timedelta(hours=36), goto="y")),
    (
        "{type: delay, text: hi, wait: 30s, goto: y, parse_mode: HTML, link_preview: no}",
        Delay(
            "x",
            {},
            wait=timedelta(seconds=30),
            goto="y",
            text="hi",
            parse_mode=ParseMode.HTML,
            link_preview=False,
        ),
    ),
    ("{type: end}", End("x", {})),
    (
        "{type: end, text: bye, parse_mode: HTML, link_preview: no}",
        End("x", {}, text="bye", parse_mode=ParseMode.HTML, link_preview=False),
    ),
    ("{type: section, title: One}", Section("x", {}, title="One")),
    ("{type: section}", Section("x", {})),
]


@pytest.mark.parametrize(("fields", "expected"), ELEMENTS)
def test_an_element_is_read_without_a_word(fields: str, expected: AnyElement) -> None:
    elements, problems = load(f"x: {fields}\n{Y}")
    assert problems == []
    assert replace(elements["x"], body={}) == expected


@pytest.mark.parametrize(("fields", "expected"), ELEMENTS)
def test_an_element_is_read_again_from_its_snapshot(fields: str, expected: AnyElement) -> None:
    element = load(f"x: {fields}\n{Y}")[0]["x"]
    assert element_of("x", element.body) == element


def test_a_snapshot_is_the_mapping_as_it_stood_in_the_file() -> None:
    element, _ = one("""
        type: quiz
        text: 2020-01-01
        note: [1, ~]
        answers:
          - {text: TRUE, correct: yes}
          - {text: 1.50, correct: "no", feedback: Yes}
    """)
    assert element is not None
    assert element.line == 1
    assert element.body == {
        "type": "quiz",
        "text": "2020-01-01",
        "note": ["1", None],
        "answers": [{"text": "TRUE", "correct": True}, {"text": "1.50", "correct": "no", "feedback": "Yes"}],
    }


def test_numbers_booleans_and_dates_are_texts_where_a_text_is_needed() -> None:
    element, problems = one("{type: input, text: 1.50, correct_answer: 042, feedback_correct: Yes, "
                            "feedback_incorrect: 2020-01-01}")  # fmt: skip
    assert problems == []
    assert element == Input(
        "x",
        {
            "type": "input",
            "text": "1.50",
            "correct_answer": "042",
            "feedback_correct": "Yes",
            "feedback_incorrect": "2020-01-01",
        },
        text="1.50",
        correct_answer="042",
        feedback_correct="Yes",
        feedback_incorrect="2020-01-01",
    )


def test_ids_that_are_no_texts_are_read_as_they_are_written() -> None:
    elements, problems = load("1: {type: jump, text: hi, options: [{text: a, goto: on}]}\non: {type: end}\n")
    assert (list(elements), problems) == (["1", "on"], [])


TEST_PROBLEMS = [
    (
        "{type: test, text: hi, prefix: q, button: ok}",
        "warning: x: 'score' is missing, no verdict is shown; add for example 'score: {100: Well done!}'",
    ),
    (
        "{type: test, text: hi, prefix: q, score: hi}",
        "error: x/score: must be a mapping of numbers to texts; write for example '{20: Good, 100: Hm}'",
    ),
    (
        "{type: test, text: hi, prefix: q, score: {100: a, ten: b}}",
        "error: x/score/ten: 'ten' is not a number; write a rate of mistakes in percent, from 0 to 100",
    ),
    (
        "{type: test, text: hi, prefix: q, score: {0: a, 50: b}}",
        "warning: x/score: ends at 50, its verdict also serves for more mistakes; add a verdict for 100",
    ),
    (
        "{type: test, text: hi, prefix: Q, score: {100: a}}",
        "warning: x/prefix: no quiz, input or multi_choice has an id that begins with 'Q'; "
        "use the beginning of their ids",
    ),
    (
        "{type: test, text: hi, prefix: q, score: {100: 'a*b'}}",
        "warning: x/score/100: Telegram can't parse entities: Can't find end of the entity "
        r"starting at byte offset 1, near '*b'; it is sent as plain text; write \_ or \* for a sign that is no markup",
    ),
    (
        "{type: test, prefix: q, score: {100: a}}",
        "error: x: 'text' is missing or empty; add 'text: ...'",
    ),
    (
        "{type: test, text: hi, score: {100: a}}",
        "error: x: 'prefix' is missing or empty; add 'prefix: ...'",
    ),
    (
        "{type: revision, text: hi, prefix: q}",
        "error: x: 'no_mistakes' is missing or empty; add 'no_mistakes: ...'",
    ),
    (
        "{type: revision, text: hi, prefix: x, no_mistakes: ok}",
        "warning: x/prefix: no quiz, input or multi_choice has an id that begins with 'x'; "
        "use the beginning of their ids",
    ),
    (
        "{type: delay, text: hi, wait: 9999999d, goto: y}",
        "error: x/wait: '9999999d' is too long; 36500d is the longest",
    ),
    (
        "{Type: message, text: hi}",
        "error: x: 'type' is missing or empty; write 'type' instead of 'Type'",
    ),
    (
        "{typ: message, text: hi}",
        "error: x: 'type' is missing or empty; write 'type' instead of 'typ'",
    ),
    (
        "{type: delay, text: hi, wait: soon, goto: y}",
        "error: x/wait: 'soon' is not an interval; write for example 30s, 1h:30m or 1d12h",
    ),
]


@pytest.mark.parametrize(("text", "problem"), TEST_PROBLEMS)
def test_problems_of_tests_revisions_and_delays(text: str, problem: str) -> None:
    _, problems = one(text)
    assert [re.sub(r"scripts/a.yml:\d+:\d+: ", "", found) for found in problems] == [problem]


def test_d33_thresholds_are_numbers_whatever_their_spelling() -> None:
    element, problems = one('{type: test, text: hi, prefix: "", score: {"100": c, 9: a, "20": b, 20.5: d}}')
    assert isinstance(element, Result)
    assert element.verdicts == (Verdict(9, "a"), Verdict(20, "b"), Verdict(20.5, "d"), Verdict(100, "c"))
    assert [problem.split(": ")[2] for problem in problems] == ["x/prefix"]


PROBLEMS = [
    ("{text: hi}", "error: {}:1:1: x: 'type' is missing or empty; add 'type: ...'"),
    ("{type: mesage}", "error: {}:2:4: x/type: unknown element type 'mesage'; did you mean 'message'?"),
    (
        "{type: Qwerty}",
        "error: {}:2:4: x/type: unknown element type 'Qwerty'; known: message, audio, input, quiz, question, "
        "multi_choice, jump, end, section, delay, dialog, miniapp, test, revision",
    ),
    ("[type, message]", "error: {}:1:1: x: an element must be a mapping; write 'type: message' and so on below it"),
    ("{type: message}", "error: {}:1:1: x: 'text' is missing or empty; add 'text: ...'"),
    ("{type: message, text: }", "error: {}:2:19: x/text: 'text' is missing or empty; add 'text: ...'"),
    ("{type: message, text: ' '}", "error: {}:2:19: x/text: 'text' is missing or empty; add 'text: ...'"),
    (
        "{type: message, text: [hi]}",
        "error: {}:2:19: x/text: must be a text, not a list; put the text in quotes or below a '|'",
    ),
    (
        "{type: message, text: hi, media: [http, {a: b}]}",
        "warning: {}:2:37: x/media/1: 'http' is not a link and is skipped; write a URL that begins with https://",
        "warning: {}:2:43: x/media/2: a mapping is not a link and is skipped; write a URL that begins with https://",
    ),
    (
        "{type: message, text: hi, button: a, options: [b]}",
        "warning: {}:2:29: x/button: has no effect beside 'options'; make it one of the options",
    ),
    ("{type: message, text: hi, buton: a}", "warning: {}:2:29: x/buton: unknown key; did you mean 'button'?"),
    (
        "{type: end, text: hi, button: a}",
        "warning: {}:2:25: x/button: has no effect here; known keys: type, text, parse_mode, link_preview",
    ),
    (
        "{type: message, text: hi, Привет: a}",
        "warning: {}:2:29: x/Привет: unknown key; check its spelling and indentation",
    ),
    (
        "{type: message, text: hi, parse_mode: html}",
        "warning: {}:2:29: x/parse_mode: 'html' is not known, 'Markdown' is used; write HTML or Markdown",
    ),
    (
        "{type: message, text: hi, link_preview: maybe}",
        "warning: {}:2:29: x/link_preview: 'maybe' is taken for yes; write yes or no",
    ),
    ("{type: message, text: hi, link_preview: [a]}", "error: {}:2:29: x/link_preview: must be yes or no, not a list"),
    (
        "{type: message, text: 5_000 *stars}",
        "warning: {}:2:25: x/text: Telegram can't parse entities: Can't find end of the entity starting at byte "
        r"offset 1, near '_000 *stars'; it is sent as plain text; write \_ or \* for a sign that is no markup",
    ),
    (
        "{type: message, text: a < b, parse_mode: HTML}",
        'warning: {}:2:25: x/text: Telegram can\'t parse entities: Unsupported start tag "" at byte offset 2, '
        "near '< b'; it is sent as plain text; close every tag, and write &lt; for < and &amp; for &",
    ),
    ("{type: audio}", "error: {}:1:1: x: 'media' is missing or empty; add the links of the audio files"),
    (
        "{type: input, text: hi, feedback_incorrect: no}",
        "warning: {}:2:27: x/feedback_incorrect: has no effect without 'correct_answer'; add 'correct_answer'",
    ),
    (
        "{type: input, text: hi, input_type: sequenze}",
        "warning: {}:2:27: x/input_type: 'sequenze' is not known, 'text' is used; did you mean 'sequence'?",
    ),
    (
        "{type: input, text: hi, correct_answer: one, input_type: sequence}",
        "warning: {}:2:27: x/correct_answer: has no digits, so that any answer without digits is right; use digits, "
        "or 'input_type: text'",
    ),
    ("{type: quiz, text: hi}", "error: {}:1:1: x: a poll takes 2 to 12 answers, not 0"),
    (
        "{type: question, text: hi, answers: [a, [b], {feedback: c}]}",
        "error: {}:2:43: x/answers/2: must be a mapping with 'text', not a list",
        "error: {}:2:48: x/answers/3: 'text' is missing or empty; add 'text: ...'",
    ),
    (
        "{type: question, text: hi, answers: [a, {text: b, corect: yes}]}",
        "warning: {}:2:53: x/answers/2/corect: unknown key; check its spelling and indentation",
    ),
    ("{type: jump, text: hi}", "error: {}:1:1: x: 'options' is missing or empty; add at least one option"),
    (
        "{type: jump, text: hi, options: []}",
        "error: {}:2:26: x/options: 'options' is missing or empty; add at least one option",
    ),
    (
        "{type: jump, text: hi, options: [{text: a, goto: y, wait: 1m}]}",
        "warning: {}:2:55: x/options/1/wait: has no effect beside 'goto'; remove one of them",
    ),
    (
        "{type: jump, text: hi, options: [{text: a, wait: soon}]}",
        "error: {}:2:46: x/options/1/wait: 'soon' is not an interval; write for example 30s, 1h:30m or 1d12h",
    ),
]


@pytest.mark.parametrize(("fields", "expected"), [(fields, expected) for fields, *expected in PROBLEMS])
def test_a_problem_says_where_and_what_to_do(fields: str, expected: list[str]) -> None:
    assert one(fields)[1] == [text.replace("{}", "scripts/a.yml", 1) for text in expected]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a.yml: has no element; write for example 'Intro_1: {type: message, text: ...}'"),
        ("{}", "a.yml: has no element; write for example 'Intro_1: {type: message, text: ...}'"),
        ("~", "a.yml: has no element; write for example 'Intro_1: {type: message, text: ...}'"),
        (
            "- type: message",
            "a.yml:1:1: must be a mapping with an id for each element; "
            "write for example 'Intro_1: {type: message, text: ...}'",
        ),
        (
            "hello",
            "a.yml:1:1: must be a mapping with an id for each element; "
            "write for example 'Intro_1: {type: message, text: ...}'",
        ),
    ],
)
def test_a_file_that_is_no_course_is_one_error(text: str, problem: str) -> None:
    assert load(text) == ({}, [f"error: scripts/{problem}"])


def test_problems_come_in_the_order_of_the_file() -> None:
    _, problems = load("""
        a: {type: jump, text: hi, options: [{text: x, goto: nowhere}]}
        b: {type: message}
        c: {type: message, text: hi, buton: x}
        b: {type: message}
    """)
    assert [problem.split(":")[2] for problem in problems] == ["2", "4", "5", "5"]


def test_long_texts_are_quoted_in_part() -> None:
    _, problems = one(f"{{type: {'x' * 1000}}}")
    assert len(problems[0]) < 300
