"""What the old program did wrong (course-format.md, section 7) and the loader must do right."""

from textwrap import dedent

import pytest

from app.course.course import Course
from app.course.element import Dialog, Input, Message, MiniApp, MultiChoice, Option, ParseMode, Quiz, Section, Speech
from app.course.loader import load_course


def load(text: str) -> tuple[Course, list[str]]:
    course, problems = load_course(dedent(text), "scripts/a.yml")
    return course, [f"{problem.severity}: {problem}" for problem in problems]


def test_d12_a_missing_goto_target_is_an_error() -> None:
    _, problems = load("""
        a: {type: jump, text: hi, options: [{text: x, goto: Intr_1}, {text: y, goto: zzz}]}
        b: {type: message, text: hi, options: [{text: x, goto: Intro_11}]}
        Intro_1: {type: delay, text: hi, wait: 1m, goto: Intro_2}
    """)
    errors = [problem for problem in problems if problem.startswith("error")]
    assert errors == [
        "error: scripts/a.yml:2:47: a/options/1/goto: there is no element 'Intr_1'; did you mean 'Intro_1'?",
        "error: scripts/a.yml:2:72: a/options/2/goto: there is no element 'zzz'; use the id of an element of this file",
        "error: scripts/a.yml:3:50: b/options/1/goto: there is no element 'Intro_11'; did you mean 'Intro_1'?",
        "error: scripts/a.yml:4:44: Intro_1/goto: there is no element 'Intro_2'; did you mean 'Intro_1'?",
    ]


def test_d13_a_section_is_an_element_without_a_problem() -> None:
    course, problems = load("a: {type: section, title: One}\nb: {type: end}\n")
    assert problems == []
    assert course.first() == Section("a", {"type": "section", "title": "One"}, title="One")


def test_d13_other_unknown_types_are_errors() -> None:
    _, problems = load("a: {type: secton, title: One}\nb: {type: end}\n")
    assert problems == ["error: scripts/a.yml:1:5: a/type: unknown element type 'secton'; did you mean 'section'?"]


CORRECT = [
    ("yes", True),
    ("true", True),
    ("on", True),
    ("1", True),
    ("'yes'", True),
    ("'True'", True),
    ("'1'", True),
    ("no", False),
    ("false", False),
    ("0", False),
    ("'no'", False),
    ("'False'", False),
    ("'0'", False),
    ("''", False),
    ("~", False),
]


@pytest.mark.parametrize(("value", "expected"), CORRECT)
def test_d15_correct_is_what_it_says(value: str, expected: bool) -> None:
    course, problems = load(f"a: {{type: multi_choice, text: hi, answers: [{{text: x, correct: {value}}}, y]}}")
    element = course.elements["a"]
    assert isinstance(element, MultiChoice)
    assert (element.options, problems) == ((Option("x", expected), Option("y")), [])


def test_d15_no_after_yes_does_not_make_the_wrong_answer_right() -> None:
    course, problems = load("a: {type: quiz, text: hi, answers: [{text: x, correct: yes}, {text: y, correct: no}]}")
    element = course.elements["a"]
    assert isinstance(element, Quiz)
    assert (element.options, problems) == ((Option("x", True), Option("y")), [])


def test_d15_several_right_answers_are_kept_and_reported() -> None:
    course, problems = load(
        "a: {type: quiz, text: hi, answers: [{text: x, correct: yes}, {text: y, correct: 1}, {text: z}]}"
    )
    element = course.elements["a"]
    assert isinstance(element, Quiz)
    assert element.options == (Option("x", True), Option("y", True), Option("z"))
    assert problems == [
        "warning: scripts/a.yml:1:27: a/answers: 2 answers are correct: any of them scores, Telegram shows 'y' as "
        "right; use multi_choice for several right answers"
    ]


@pytest.mark.parametrize("answers", ["[x, y]", "[{text: x, correct: 'no'}, {text: y, correct: no}]"])
def test_d15_a_quiz_without_a_right_answer_is_an_error(answers: str) -> None:
    _, problems = load(f"a: {{type: quiz, text: hi, answers: {answers}}}")
    assert problems == [
        "error: scripts/a.yml:1:27: a/answers: no answer is correct; add 'correct: yes' to the right one"
    ]


def test_d16_an_input_needs_no_feedback() -> None:
    course, problems = load("a: {type: input, text: hi, correct_answer: 42}")
    element = course.elements["a"]
    assert isinstance(element, Input)
    assert (element.correct_answer, element.feedback_correct, problems) == ("42", None, [])


def test_d17_the_verdicts_of_multi_choice_are_optional() -> None:
    course, problems = load("a: {type: multi_choice, text: hi, answers: [x, {text: y, correct: yes}]}")
    element = course.elements["a"]
    assert isinstance(element, MultiChoice)
    verdicts = (element.feedback_correct, element.feedback_partial, element.feedback_incorrect)
    assert (verdicts, problems) == ((None, None, None), [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("HTML", ParseMode.HTML),
        ("HTML!", ParseMode.HTML),
        ("Markdown", ParseMode.MARKDOWN),
        ("markdown", ParseMode.MARKDOWN),
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        "message, text: hi",
        "audio, media: https://example.org/a.mp3",
        "input, text: hi",
        "quiz, text: hi, answers: [x, {text: y, correct: yes}]",
        "question, text: hi, answers: [x, y]",
        "multi_choice, text: hi, answers: [x, {text: y, correct: yes}]",
        "jump, text: hi, options: [x]",
        "test, text: hi, prefix: b, score: {100: x}",
        "revision, text: hi, prefix: b, no_mistakes: x",
        "delay, wait: 1m, goto: b",
        "end",
        "dialog, text: hi, prompt: x",
        "miniapp, text: hi, button: go, question: {type: typein, text: '{q1}'}",
    ],
)
def test_d35_parse_mode_is_read_everywhere(fields: str, value: str, expected: ParseMode) -> None:
    course, problems = load(f"a: {{type: {fields}, parse_mode: {value}}}\nb: {{type: input, text: hi}}")
    element = course.elements["a"]
    assert not isinstance(element, Section)
    assert (element.parse_mode, problems) == (expected, [])


def test_d35_a_misindented_line_is_reported() -> None:
    course, problems = load("""
        a:
          type: message
          text: >
            One.
          You will learn:
          - this
    """)
    assert problems == ["warning: scripts/a.yml:6:3: a/You will learn: unknown key; check its spelling and indentation"]
    assert isinstance(course.elements["a"], Message)


def test_d39_a_delay_without_wait_or_goto_is_an_error() -> None:
    for fields in ("wait: 1m", "goto: a", "wait: 1m, text: hi", ""):
        _, problems = load(f"a: {{type: delay, {fields}}}")
        assert "error: scripts/a.yml:1:1: a: 'wait' or 'goto' is missing; a delay needs both" in problems


def test_d42_poll_limits() -> None:
    many = ", ".join(f"a{n}" for n in range(13))
    _, problems = load(f"""
        a: {{type: question, text: hi, answers: [one]}}
        b: {{type: question, text: hi, answers: [{many}]}}
        c: {{type: question, text: hi, answers: [{"x" * 100}, {"y" * 101}]}}
        d: {{type: question, text: {"x" * 301}, answers: [a, b]}}
    """)
    assert problems == [
        "error: scripts/a.yml:2:31: a/answers: a poll takes 2 to 12 answers, not 1",
        "error: scripts/a.yml:3:31: b/answers: a poll takes 2 to 12 answers, not 13",
        "error: scripts/a.yml:4:143: c/answers/2/text: has 101 characters, an answer takes 100; shorten it",
        "warning: scripts/a.yml:5:21: d/text: has 301 characters, the question of a poll takes 300; "
        "it is sent as a message before the poll",
    ]


def test_d42_equal_answers_are_told_apart() -> None:
    long = "x" * 100
    course, problems = load(
        f"a: {{type: quiz, text: hi, answers: [{{text: {long}, correct: yes}}, {long}, b, ' b', b]}}"
    )
    element = course.elements["a"]
    assert isinstance(element, Quiz)
    assert [option.text for option in element.options] == [long, "x" * 96 + " (2)", "b", "b (2)", "b (3)"]
    assert [problem.split("; ")[1] for problem in problems] == [
        "a number is added",
        "a number is added",
        "a number is added",
    ]
    assert "a/answers/4/text: has the same text as answer 3: 'b'" in problems[1]


def test_d35_the_button_of_a_dialog_is_read() -> None:
    course, problems = load("a: {type: dialog, text: hi, prompt: x, button: ' Enough '}")
    element = course.elements["a"]
    assert isinstance(element, Dialog)
    assert (element.button, problems) == ("Enough", [])


def test_d21_a_variable_that_stands_for_no_element_is_reported() -> None:
    _, problems = load("""
        Intro_1: {type: message, text: hi}
        Name: {type: input, text: name?}
        v.answer: {type: message, text: hi}
        Talk:
          type: dialog
          text: hi
          prompt: |
            {{ Intro_1 }} {{Intro_1}} {{2]Intro_1}} {{Intro_1[2}} {{Name.answer}} {{v.answer}} {{Talk}}
            <!-- {{nothing}} --> {{3]Intr_1}} {{Intr_1}} {{v}} {{Nam.answer}} {{zzz}}
    """)
    assert problems == [
        "warning: scripts/a.yml:8:3: Talk/prompt: there is no element 'Intr_1', its variable stays empty; "
        "did you mean 'Intro_1'?",
        "warning: scripts/a.yml:8:3: Talk/prompt: there is no element 'v', its variable stays empty; "
        "use the id of an element of this file",
        "warning: scripts/a.yml:8:3: Talk/prompt: there is no element 'Nam', its variable stays empty; "
        "did you mean 'Name'?",
        "warning: scripts/a.yml:8:3: Talk/prompt: there is no element 'zzz', its variable stays empty; "
        "use the id of an element of this file",
    ]


def test_d21_a_prompt_beside_a_conversation_is_not_used() -> None:
    _, problems = load("a: {type: dialog, text: hi, prompt: '{{x}}', conversation: [{role: system, content: '{{x}}'}]}")
    assert [problem for problem in problems if "variable" in problem] == []


@pytest.mark.parametrize("key", ["reasoning", "reasoning_effort"])
def test_d22_the_reasoning_of_a_course_is_read(key: str) -> None:
    course, problems = load(f"a: {{type: dialog, text: hi, prompt: x, {key}: high}}")
    element = course.elements["a"]
    assert isinstance(element, Dialog)
    assert (element.reasoning, problems) == ("high", [])


def test_d22_zero_is_a_temperature() -> None:
    course, problems = load("a: {type: dialog, text: hi, prompt: x, temperature: 0}")
    element = course.elements["a"]
    assert isinstance(element, Dialog)
    assert (element.temperature, problems) == (0.0, [])


def test_d43_a_mini_app_that_nobody_can_answer_is_reported() -> None:
    course, problems = load("""
        a: {type: miniapp, text: hi, button: go, question: {text: x, options: [Paris, Rome]}, answer: {actual: Pari}}
        b: {type: miniapp, text: hi, button: go, question: {type: typein, text: '{q1}'}, answer: {actual: 'q2: is'}}
    """)
    assert problems == [
        "warning: scripts/a.yml:2:96: a/answer/actual: 'Pari' is none of the options, so that every answer is wrong; "
        "did you mean 'Paris'?",
        "warning: scripts/a.yml:3:91: b/answer/actual: names the fields q2, the question has q1; "
        "write 'NAME: VALUE' for each of them, with ', ' between",
    ]
    element = course.elements["a"]
    assert isinstance(element, MiniApp)
    assert (element.options, element.correct_answer) == (("Paris", "Rome"), "Pari")


def test_d46_the_spellings_of_the_visual_editor_are_accepted() -> None:
    course, problems = load("""
        s: {type: section, title: One}
        a: {type: dialog, text: hi, prompt: x, max_messages: 150, parse_mode: HTML!}
        b: {type: test, text: hi, prefix: q, score: {"20": x, "65": y, "100": z}}
        q: {type: input, text: hi, correct_answer: hi}
    """)
    assert problems == []
    dialog = course.elements["a"]
    assert isinstance(dialog, Dialog)
    assert (dialog.max_messages, dialog.parse_mode, dialog.is_html) == (150, ParseMode.HTML, True)
    assert course.elements["b"].body["score"] == {"20": "x", "65": "y", "100": "z"}


def test_d46_quoted_booleans_and_numbers_are_what_they_say() -> None:
    course, problems = load("""
        a: {type: dialog, text: hi, prompt: x, auto_start: "false", voice_response: "true", link_preview: "no",
            temperature: "0.0", tts_speed: "0.9", max_messages: "150", button: "", tts_voice: "", model: ""}
    """)
    assert problems == []
    dialog = course.elements["a"]
    assert isinstance(dialog, Dialog)
    assert (dialog.auto_start, dialog.link_preview, dialog.speech) == (False, False, Speech(speed=0.9))
    assert (dialog.temperature, dialog.max_messages, dialog.button, dialog.model) == (0.0, 150, None, None)
