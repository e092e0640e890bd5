"""The oddities of the real course files (course-format.md, section 8.3), rebuilt small: they load and are named."""

from datetime import timedelta
from textwrap import dedent

from app.course.course import Course
from app.course.element import Choice, Dialog, Input, Message, MiniApp, Option, ParseMode, Quiz, Speech
from app.course.loader import load_course


def load(text: str) -> tuple[Course, list[str]]:
    """Load a course that must not have errors; return its warnings as ``LINE WHERE: TEXT``."""
    course, problems = load_course(dedent(text).lstrip(), "scripts/a.yml")
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    return course, [f"{problem.line} {problem.where}: {problem.text}" for problem in problems]


def test_duplicate_ids() -> None:
    course, warnings = load("""
        Intro_1: {type: message, text: first}
        Menu: {type: jump, text: hi, options: [go]}
        Intro_1: {type: message, text: second, button: OK}
        End: {type: end}
    """)
    assert course.order == ("Intro_1", "Menu", "End")
    element = course.elements["Intro_1"]
    assert isinstance(element, Message)
    assert (element.text, element.choices, element.line) == ("second", (Choice("OK"),), 3)
    assert warnings == ["3 Intro_1: occurs twice, on lines 1 and 3"]


def test_equal_answers() -> None:
    course, warnings = load("""
        Vocab_1:
          type: quiz
          text: hi
          answers:
            - {text: same, feedback: no}
            - {text: same, correct: yes}
    """)
    element = course.elements["Vocab_1"]
    assert isinstance(element, Quiz)
    assert element.options == (Option("same", feedback="no"), Option("same (2)", True))
    assert warnings == ["6 Vocab_1/answers/2/text: has the same text as answer 1: 'same'"]


def test_the_same_quiz_with_yes_and_no() -> None:
    course, warnings = load("""
        a:
          type: quiz
          text: hi
          answers:
            - {text: right, correct: yes}
            - {text: wrong, correct: no}
    """)
    element = course.elements["a"]
    assert isinstance(element, Quiz)
    assert ([option.correct for option in element.options], warnings) == ([True, False], [])


def test_a_misindented_line_with_a_list() -> None:
    _, warnings = load("""
        Course_intro_00:
          type: message
          text: >
            Привет!
          В этом курсе ты узнаешь:
          - одно,
          - другое.
            И всё.
    """)
    assert warnings == ["5 Course_intro_00/В этом курсе ты узнаешь: unknown key"]


def test_a_legacy_delay_is_a_message_without_a_button() -> None:
    course, warnings = load("""
        Delay_01:
          type: delay
          text: Until tomorrow!
          continue: Ready for module 2?
          yes_text: Yes
          no_text: No
        Next: {type: end}
    """)
    element = course.elements["Delay_01"]
    assert isinstance(element, Message)
    assert (element.text, element.choices) == ("Until tomorrow!", ())
    assert warnings == [
        "1 Delay_01: 'wait' and 'goto' are missing, it is shown as a message without a button; "
        "'continue', 'yes_text', 'no_text' not used"
    ]


def test_a_course_of_the_visual_editor() -> None:
    course, warnings = load("""
        Section_Intro: {type: section, title: Введение}
        Message_1:
          type: message
          text: hi
          media:
            - http
            - asd
          options:
            - text: Дальше
            - text: В конец
              goto: End_1
        Section_Quiz: {type: section, title: Вопросы}
        Quiz_1:
          type: quiz
          text: hi
          answers:
            - {text: a, correct: "no", feedback: ""}
            - {text: b, correct: "yes", feedback: ""}
        Dialog_1: {type: dialog, text: hi, prompt: x, max_messages: 150, temperature: 0.7, auto_start: "false"}
        Test_1: {type: test, text: "{score}", prefix: Quiz_, score: {"20": a, "65": b, "100": c}, button: ok}
        End_1: {type: end, text: bye}
    """)
    message, quiz, dialog = course.elements["Message_1"], course.elements["Quiz_1"], course.elements["Dialog_1"]
    assert isinstance(dialog, Dialog)
    assert (dialog.max_messages, dialog.auto_start) == (150, False)
    assert isinstance(message, Message)
    assert (message.media, message.choices) == ((), (Choice("Дальше"), Choice("В конец", "End_1")))
    assert isinstance(quiz, Quiz)
    assert quiz.options == (Option("a"), Option("b", True))
    assert warnings == [
        "6 Message_1/media/1: 'http' is not a link and is skipped",
        "7 Message_1/media/2: 'asd' is not a link and is skipped",
    ]


def test_an_audio_without_a_working_link_loads() -> None:
    _, warnings = load("a: {type: audio, text: hi, media: [asd]}")
    assert warnings == ["1 a/media/1: 'asd' is not a link and is skipped"]


def test_message_options_with_continue_goto_and_wait() -> None:
    course, warnings = load("""
        Test_Message_07:
          type: message
          text: hi
          options:
            - text: on
            - {text: there, goto: x}
            - {text: later, wait: 30s, wait_text: ok}
        x: {type: end}
    """)
    element = course.elements["Test_Message_07"]
    assert isinstance(element, Message)
    assert [(choice.text, choice.goto) for choice in element.choices] == [("on", None), ("there", "x"), ("later", None)]
    assert (element.choices[2].wait, element.choices[2].wait_text, warnings) == (timedelta(seconds=30), "ok", [])


def test_a_bare_url_with_an_odd_underscore() -> None:
    _, warnings = load("a: {type: message, text: 'https://example.org/a_b'}")
    assert warnings == [
        "1 a/text: Telegram can't parse entities: Can't find end of the entity starting at byte offset 21, near '_b'"
    ]


def test_an_input_with_html() -> None:
    course, warnings = load("a: {type: input, text: <b>hi</b>, parse_mode: HTML}")
    element = course.elements["a"]
    assert isinstance(element, Input)
    assert (element.parse_mode, warnings) == (ParseMode.HTML, [])


def test_feedback_without_a_right_answer() -> None:
    course, warnings = load("a: {type: input, text: hi, feedback_correct: Thanks}")
    element = course.elements["a"]
    assert isinstance(element, Input)
    assert (element.correct_answer, element.feedback_correct, warnings) == (None, "Thanks", [])


def test_button_on_multi_choice() -> None:
    _, warnings = load("a: {type: multi_choice, text: hi, button: ok, answers: [a, {text: b, correct: yes}]}")
    assert warnings == ["1 a/button: has no effect"]


def test_a_dialog_that_speaks() -> None:
    course, warnings = load("""
        Speaking_Practice_01:
          type: dialog
          text: hi
          model: gpt-4
          temperature: 0.7
          voice_response: true
          auto_start: true
          tts_voice: 21m00Tcm4TlvDq8ikWAM
          tts_model: eleven_multilingual_v2
          tts_speed: 0.8
          transcription_language: el
          prompt: Never ends
    """)
    dialog = course.elements["Speaking_Practice_01"]
    assert isinstance(dialog, Dialog)
    assert dialog.speech == Speech("21m00Tcm4TlvDq8ikWAM", "eleven_multilingual_v2", 0.8)
    assert (dialog.temperature, dialog.auto_start, dialog.language, warnings) == (0.7, True, "el", [])


def test_a_mini_app_without_a_slash() -> None:
    course, warnings = load("""
        Mini_App_Test_02:
          type: miniapp
          text: hi
          button: Launch
          app_url: https://example.org
          question:
            type: multiple_choice
            text: |
              What is the capital of France?
            options:
              - text: Paris
              - text: London
          answer:
            actual: Paris
            correct_feedback: Yes!
            incorrect_feedback: No!
    """)
    app = course.elements["Mini_App_Test_02"]
    assert isinstance(app, MiniApp)
    assert (app.app_url, app.options, app.correct_answer) == ("https://example.org", ("Paris", "London"), "Paris")
    assert (app.feedback_correct, app.feedback_incorrect, warnings) == ("Yes!", "No!", [])


def test_a_text_glued_to_a_drive_link() -> None:
    course, warnings = load("""
        a:
          type: message
          text: hi
          media:
            - https://drive.google.com/file/d/1C12-x/view?usp=drive_link
              Ready? Press the button
    """)
    element = course.elements["a"]
    assert isinstance(element, Message)
    assert element.media == ("https://drive.usercontent.google.com/download?id=1C12-x",)
    assert warnings == []


def test_more_than_ten_pictures() -> None:
    urls = ", ".join(f"https://example.org/{n}.png" for n in range(12))
    course, warnings = load(f"a: {{type: message, text: hi, media: [{urls}]}}")
    element = course.elements["a"]
    assert isinstance(element, Message)
    assert (len(element.media), warnings) == (12, [])


def test_a_text_of_any_length() -> None:
    _, warnings = load(f"a: {{type: message, text: {'word ' * 10_000}}}")
    assert warnings == []
