"""What an author should know of a course that can run."""

from textwrap import dedent

import pytest

from app.course.loader import load_course
from app.course.proof import prove
from app.errors import Problem

BYE = "bye: {type: end}\n"


def problems_of(text: str, serves_apps: bool = True) -> list[Problem]:
    course, problems = load_course(text, "a.yml")
    assert [str(problem) for problem in problems] == []
    return prove(course, text, serves_apps=serves_apps)


def check(text: str, **options: bool) -> list[str]:
    found = problems_of(dedent(text).lstrip(), **options)
    return [f"{problem.severity} {problem.line}:{problem.column} {problem.where}: {problem.text}" for problem in found]


def test_an_ordinary_course() -> None:
    text = """
        a: {type: message, text: hi, button: go}
        b: {type: dialog, text: hi, prompt: 'Ask, and at last write {STOP}'}
        c: {type: test, text: hi, prefix: d, score: {0: a, 50: b, 100: c}}
        d: {type: input, text: hi, correct_answer: a}
    """
    assert check(text) == []


@pytest.mark.parametrize(
    ("element", "where"),
    [
        ("type: message, text: {}", "text"),
        ("type: input, text: a, correct_answer: b, feedback_correct: {}", "feedback_correct"),
        ("type: quiz, text: a, answers: [{{text: a, correct: yes, feedback: {}}}, b]", "answers/1/feedback"),
        ("type: jump, text: a, options: [{{text: b, wait: 1d, wait_text: {}}}]", "options/1/wait_text"),
        ("type: dialog, text: {}, prompt: '{{STOP}}'", "text"),
        ("type: miniapp, text: {}, button: b, question: {{text: q, options: [x, y]}}", "text"),
    ],
)
def test_texts_of_several_messages(element: str, where: str) -> None:
    (found,) = check("a: {" + element.format(f"'{'word ' * 1000}'") + "}\n")
    assert found.startswith("hint 1:")
    assert found.endswith(f" a/{where}: has 5000 characters and is sent as 2 messages")


def test_the_feedback_of_a_mini_app_is_long() -> None:
    text = f"""
        a:
          type: miniapp
          text: hi
          button: go
          question: {{text: q, options: [x, y]}}
          answer: {{actual: x, correct_feedback: '{"word " * 1000}'}}
    """
    assert check(text) == ["hint 6:41 a/answer/correct_feedback: has 5000 characters and is sent as 2 messages"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("type: dialog, text: '*hi', prompt: '{STOP}'", "text"),
        ("type: miniapp, text: '*hi', button: go, question: {text: q, options: [x, y]}", "text"),
        (
            "type: miniapp, text: hi, button: go, question: {text: q, options: [x, y]}, "
            "answer: {actual: x, correct_feedback: '*hi'}",
            "answer/correct_feedback",
        ),
        (
            "type: miniapp, text: hi, button: go, question: {text: q, options: [x, y]}, "
            "answer: {actual: x, incorrect_feedback: '*hi'}",
            "answer/incorrect_feedback",
        ),
    ],
)
def test_broken_markup_of_dialogs_and_mini_apps(body: str, where: str) -> None:
    _, problems = load_course(f"a: {{{body}}}", "a.yml")
    assert [f"{problem.where}: {problem.text}" for problem in problems] == [
        f"a/{where}: Telegram can't parse entities: Can't find end of the entity starting at byte offset 0, near '*hi'"
    ]


def test_what_the_learner_does_not_get_needs_no_markup() -> None:
    _, problems = load_course("a: {type: dialog, text: hi, prompt: '*a_ {STOP}'}\n", "a.yml")
    assert problems == []


def test_captions() -> None:
    audio = "a: {{type: audio, media: https://example.org/a.mp3, text: '{}'{}}}\n"
    assert check(audio.format("x" * 1024, "")) == []
    assert check(audio.format("x" * 1025, "")) == [
        "hint 1:58 a/text: is longer than a caption takes (1024), it is sent as a message before the files"
    ]
    assert check(audio.format("x" * 1025, ", link_preview: no")) == []
    assert check(audio.format("*" + "x" * 1024 + "*", "")) == []


def test_buttons() -> None:
    long = "x" * 65
    text = f"""
        a: {{type: message, text: hi, button: {long}}}
        b: {{type: jump, text: hi, options: [{long}, {{text: {long}, goto: a}}]}}
    """
    said = "has 65 characters, phones cut a button after about 30"
    assert check(text) == [
        f"hint 1:38 a/button: {said}",
        f"hint 2:37 b/options/1/text: {said}",
        f"hint 2:111 b/options/2/text: {said}",
    ]
    many = ", ".join(["x"] * 101)
    assert check(f"a: {{type: jump, text: hi, options: [{many}]}}\n") == [
        "warning 1:337 a/options/101/text: is button 101, Telegram takes 100 under a message"
    ]


NO_STOP = "does not ask the model for {STOP}, so the dialog does not end by itself"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("prompt: talk", f"warning 1:37 a/prompt: {NO_STOP}"),
        ("prompt: 'talk, then {STOP}'", None),
        ("prompt: talk, button: enough", None),
        ("prompt: talk, max_messages: 9", None),
        ("conversation: [{role: system, content: 'talk, then {STOP}'}]", None),
        ("conversation: [{role: system, content: talk}]", f"warning 1:43 a/conversation: {NO_STOP}"),
    ],
)
def test_dialogs_that_do_not_end(fields: str, problem: str | None) -> None:
    assert check(f"a: {{type: dialog, text: hi, {fields}}}\n") == ([problem] if problem else [])


def test_long_prompts() -> None:
    assert check(f"a: {{type: dialog, text: hi, prompt: '{{STOP}}{'x' * 20_000}'}}\n") == [
        "hint 1:37 a/prompt: has 20006 characters, which the model reads again for every message of the learner"
    ]


def test_a_voice_without_voice_response() -> None:
    voice = "tts_voice: abc, tts_model: m, tts_speed: 0.9"
    dialog = f"a: {{type: dialog, text: hi, prompt: '{{STOP}}', {voice}}}\n"
    assert [found.split(" ", 2)[2] for found in check(dialog)] == [
        f"a/{key}: has no effect" for key in ("tts_voice", "tts_model", "tts_speed")
    ]
    assert check(dialog.replace("text: hi", "text: hi, voice_response: yes")) == []


@pytest.mark.parametrize(
    ("score", "problems"),
    [
        ("{0: a, 100: b}", []),
        ("{'20': a, '100': b}", []),
        ("{-5: x, 100: b}", ["a/score/-5: is never shown: there are no fewer than 0 % mistakes"]),
        (
            "{50: a, '50.0': x, 100: b}",
            ["a/score/50.0: is the same rate of mistakes as '50', only one of them is shown"],
        ),
        ("{50: a, 100: b, 120: x}", ["a/score/120: is never shown: there are no more than 100 % mistakes"]),
        ("{50: a, 120: b}", []),
        ("{50: '', 100: b}", ["a/score/50: is empty"]),
    ],
)
def test_thresholds(score: str, problems: list[str]) -> None:
    text = f"a: {{type: test, text: hi, prefix: q, score: {score}}}\nq: {{type: input, text: hi, correct_answer: a}}\n"
    assert [found.split(" ", 2)[2] for found in check(text)] == problems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{score} of {maxscore}", []),
        ("{}{ score}", []),
        ("{scor} {scor}", ["a/text: '{scor}' is shown as it is"]),
    ],
)
def test_placeholders_of_a_test(text: str, found: list[str]) -> None:
    scored = "q: {type: input, text: hi, correct_answer: a}\n"
    course = f"a: {{type: test, text: '{text}', prefix: q, score: {{100: b}}}}\n{scored}"
    assert [problem.split(" ", 2)[2] for problem in check(course)] == found


def test_what_telegram_stumbles_over_is_shown() -> None:
    """The offset is in bytes, which nobody counts."""
    text = "a: {type: message, text: 'Привет! Это *очень длинное слово без второго знака'}\n"
    (problem,) = load_course(text, "a.yml")[1]
    assert problem.text.endswith("starting at byte offset 21, near '*очень длинное слово б...'")


def test_mini_apps() -> None:
    app = "a: {type: miniapp, text: hi, button: go, question: {text: q, options: [x, y]}}\n"
    assert check(app) == []
    assert check(app, serves_apps=False) == [
        "warning 1:1 a: has no 'app_url', and the bot serves no page for mini apps"
    ]
    own = app.replace("button", "app_url: http://example.org/app, button")
    assert check(own, serves_apps=False) == [
        "warning 1:39 a/app_url: does not begin with https://, Telegram opens no other pages"
    ]


def test_every_finding_has_a_remedy_or_needs_none() -> None:
    text = """\
a: {type: dialog, text: hi, prompt: talk, tts_speed: 2}
b: {type: jump, text: hi, options: [{text: x, goto: b}]}
c: {type: end}
"""
    assert [problem.remedy for problem in problems_of(text)] == [
        "tell the model when to write {STOP}; until then learners leave by a button",
        "add 'voice_response: yes', or remove it",
        "name it in a 'goto', or remove it",
        "add an option that leads on, or a 'type: end'; leave it if learners should go round for ever",
    ]
